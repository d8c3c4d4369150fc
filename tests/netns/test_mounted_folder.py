"""/run/procroute may be a mount point, as in a unit's sandbox: it stays then, and nobody fails for that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.daemons import daemon, placed
from tests.netns.running import procroute, run

FOLDER = "/run/procroute"
pytestmark = pytest.mark.promise("SERVICE-12")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(main="both") as made:
        made.sh(f"mkdir {FOLDER} && mount -n --bind {FOLDER} {FOLDER}")
        yield made
        made.sh(f"umount -n {FOLDER}")


@pytest.fixture(autouse=True)
def _stays_empty(lab: Lab) -> Iterator[None]:
    yield
    lab.sh(f"mountpoint -q {FOLDER}")
    assert not lab.sh(f"ls -A {FOLDER}")


def test_a_command_ends_well(lab: Lab) -> None:
    done = run(lab, "wan1", "true")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_daemon_does(lab: Lab) -> None:
    with daemon(lab), placed(lab, 0):
        pass  # it asserts its exit status


def test_cleanup_does(lab: Lab) -> None:
    assert procroute(lab, "cleanup").returncode == 0
