"""What several modules start from: a machine with a daemon, or, for BPF programs by themselves, by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.by_hand import Target, lab_by_hand
from tests.netns.daemons import Daemon, daemon
from tests.netns.ruled import FOLDER
from tests.netns.running import procroute


@pytest.fixture(scope="module")
def machine() -> Iterator[tuple[Lab, Daemon]]:
    """A machine that prefers wan2, and its daemon. Tests leave it as they found it."""
    with Lab(main="both") as lab, daemon(lab) as running:
        yield lab, running


@pytest.fixture(scope="module")
def by_hand() -> Iterator[Lab]:
    """A lab with policy routing by hand. Tests leave it as they found it."""
    with lab_by_hand() as lab:
        yield lab


@pytest.fixture
def target(by_hand: Lab) -> Target:
    """A cgroup of this test's own, nothing on it."""
    return Target(by_hand)


@pytest.fixture
def running(machine: Daemon) -> Iterator[Daemon]:
    """The daemon of modules about route rules, whose `machine` it is; afterwards there are no rules."""
    yield machine
    machine.lab.sh(f"rm -rf {FOLDER} /run/procroute/rules.d/*")
    assert procroute(machine.lab, "reload").returncode == 0
