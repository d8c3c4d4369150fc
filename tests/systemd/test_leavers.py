"""What a systemd manager moves out of a route of the daemon's is told, and ended when strict."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator

import pytest

from tests.lab.systemd_box import ADA, SystemdBox
from tests.netns.daemons import Daemon, as_user, daemon
from tests.netns.running import ENVIRONMENT, ours, run_by, until
from tests.netns.traffic import SERVER
from tests.systemd.test_leaving import LEAVER, USERS, quiet

promise = pytest.mark.promise


@pytest.fixture
def running(box: SystemdBox) -> Iterator[Daemon]:
    with daemon(box) as running:
        yield running
    until(lambda: not {*ours(box)} - {"files"}, what="the clean-up")


@promise("LEFT-01", "LEFT-02")
@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["", "strict"])
def test_what_the_users_manager_moves(box: SystemdBox, running: Daemon, options: tuple[str, ...]) -> None:
    """It asks that for a scope of its own, as browsers and flatpak do."""
    with tempfile.TemporaryFile("w+") as out:
        words = [*as_user(ADA), *run_by("wan1", *options), *left_by()]
        with box.machine.popen(words, env=ENVIRONMENT, stdout=out, stderr=out) as process:
            until(lambda: "leaver.scope" in running.log(), what="the news")
            assert ("leaver.scope: ended" in running.log()) is bool(options)
            if options:
                assert process.wait(10) == 128 + 9 or process.returncode == -9
            assert quiet(box) is bool(options)
            box.as_ada(["systemctl", "--user", "stop", "leaver.scope"])
            process.wait(20)


def left_by() -> list[str]:
    return [sys.executable, str(LEAVER), USERS, "leaver.scope", SERVER[4], SERVER[6]]
