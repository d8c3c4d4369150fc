"""What tests of the BPF programs by themselves start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.by_hand import Target, lab_by_hand


@pytest.fixture(scope="module")
def by_hand() -> Iterator[Lab]:
    """A lab with policy routing by hand. Tests leave it as they found it."""
    with lab_by_hand() as lab:
        yield lab


@pytest.fixture
def target(by_hand: Lab) -> Target:
    """A cgroup of this test's own, nothing on it."""
    return Target(by_hand)
