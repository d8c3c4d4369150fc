"""A machine run by a real systemd, of each release that is tried; tests leave it as they found it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from procroute.lab.patience import FACTOR
from tests.lab.systemd_box import SYSTEMD, SystemdBox
from tests.netns.ruled import FOLDER
from tests.netns.running import ours, procroute
from tests.systemd.daemons import Daemon, daemon
from tests.systemd.unit_rules import UNITS

_SECONDS = 10.0
_ROUTES = "/sys/fs/cgroup/procroute.slice/procroute-*.slice"


@pytest.fixture(scope="module", params=list(SYSTEMD))
def box(request: pytest.FixtureRequest) -> Iterator[SystemdBox]:
    """Two uplinks, of which main prefers wan2."""
    with SystemdBox(request.param, main="both") as box:
        yield box


@pytest.fixture
def running(box: SystemdBox) -> Iterator[Daemon]:
    """A daemon, with no rules before and after it; nothing of ours is left."""
    box.sh(f"mkdir -p {FOLDER}")
    try:
        with daemon(box) as running:
            yield running
            box.sh(f"rm -rf {FOLDER}/*; systemctl stop 'probed*'")
            running.ask("reload")
            # What is still routed when the daemon ends stays so.
            box.sh(f"for i in $(seq 100); do ls -d {_ROUTES} >/dev/null 2>&1 || break; sleep 0.1; done")
    finally:
        box.sh(f"rm -rf {FOLDER}")
        box.sh(f"systemctl stop 'probed*'; rm -f {UNITS}/probed*; systemctl daemon-reload")
    _clean(box)


def _clean(box: SystemdBox) -> None:
    """A daemon that ended before all was let go has left it, as it says: the next test must not have it."""
    left, said = ours(box), ""
    until = time.monotonic() + _SECONDS * FACTOR
    while left and time.monotonic() < until:
        done = procroute(box, "cleanup")
        left, said = ours(box), done.stdout + done.stderr
    assert not left, f"left: {left}; cleanup: {said}; {box.sh('ps -eo pid,cgroup,args')}"
