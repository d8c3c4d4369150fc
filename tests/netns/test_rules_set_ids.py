"""Rules for users and groups, and programs that change both as they are executed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, Daemon, daemon
from tests.netns.ruled import FOLDER, rule, started, write
from tests.netns.running import procroute
from tests.netns.traffic import FAMILIES, astray

pytestmark = pytest.mark.promise("RULE-48")
PLAIN: Final = "/run/plain"
NOSUID: Final = "/run/nosuid"
STAFF: Final = 4712
_MAKE: Final = f"""
mkdir {PLAIN} {NOSUID}; mount -n -t tmpfs -o mode=755 tmpfs {PLAIN}; cd {PLAIN}  # /run is nosuid
for name in mine roots staffs nobodys; do cp $(command -v env) $name; done
chmod 4755 roots
chgrp {STAFF} staffs nobodys; chmod 2755 staffs; chmod 2745 nobodys
printf '#!/bin/sh\\nexec "$@"\\n' >script; chmod 4755 script
mount -n --bind {PLAIN} {NOSUID}; mount -n -o remount,bind,nosuid {NOSUID}
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Daemon]:
    """A daemon on a machine whose first default route is by wan2, with such programs."""
    with Lab(main="both") as lab:
        lab.sh(_MAKE)
        with daemon(lab) as running:
            yield running


def have(running: Daemon, *, hers: str = "", roots: str = "") -> None:
    """Have these rules hold, alice's and the administrator's."""
    write(running.lab, hers, folder=f"{FOLDER}/users/{ALICE}")
    write(running.lab, roots)
    done = procroute(running.lab, "reload")
    assert done.returncode == 0, done.stderr


def goes_by(running: Daemon, adapter: str, *words: str, user: int) -> None:
    """In both families, by this adapter."""
    lab = running.lab
    with started(lab, *words, user=user) as its:
        for family in FAMILIES:
            assert not astray(lab, its, "tcp", family, lab.uplinks[adapter]), running.log()


@pytest.mark.parametrize(
    ("words", "adapter"),
    [
        pytest.param([f"{PLAIN}/mine"], "wan1", id="hers"),
        pytest.param([f"{PLAIN}/roots"], "wan2", id="root's"),
        pytest.param(["setpriv", "--no-new-privs", f"{PLAIN}/roots"], "wan1", id="no_new_privs"),
        pytest.param([f"{NOSUID}/roots"], "wan1", id="nosuid"),
        pytest.param(["unshare", "--user", f"{PLAIN}/roots"], "wan1", id="namespace without root"),
        pytest.param([f"{PLAIN}/script"], "wan1", id="script"),
    ],
)
def test_a_users_rule(running: Daemon, words: list[str], adapter: str) -> None:
    """It holds for a setuid program where that stays hers."""
    have(running, hers=rule(f'exe = "{PLAIN}/*"'))
    goes_by(running, adapter, *words, user=ALICE)


@pytest.mark.parametrize(
    ("words", "adapter"),
    [
        pytest.param([f"{PLAIN}/staffs"], "wan1", id="set-group-ID"),
        pytest.param(["setpriv", "--no-new-privs", f"{PLAIN}/staffs"], "wan2", id="no_new_privs"),
        pytest.param([f"{NOSUID}/staffs"], "wan2", id="nosuid"),
        pytest.param([f"{PLAIN}/nobodys"], "wan2", id="not executable for its group"),
    ],
)
def test_a_rule_for_a_group(running: Daemon, words: list[str], adapter: str) -> None:
    """It holds for whoever is in it by the program that he executes."""
    have(running, roots=rule(f'exe = "{PLAIN}/*"', f'group = "{STAFF}"'))
    goes_by(running, adapter, *words, user=ALICE)
