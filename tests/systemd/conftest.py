"""A machine run by a real systemd, of each release that is tried; tests leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.systemd_box import SYSTEMD, SystemdBox
from tests.netns.ruled import FOLDER
from tests.netns.running import ours, procroute, until
from tests.systemd.daemons import Daemon, daemon
from tests.systemd.unit_rules import UNITS

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
    # A daemon that ended before all was let go has left it, as it says: the next box must not have it.
    until(
        lambda: not ours(box) or (procroute(box, "cleanup"), not ours(box))[1], what="the end of what is ours"
    )
