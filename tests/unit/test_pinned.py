"""Processes by pidfd: who ends while one is being opened has ended, and is no error."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from procroute.kernel import faults
from procroute.kernel.pinned import identify, pin, pinned


class Hook:
    """Has pidfd_open fail."""

    def __init__(self, number: int) -> None:
        self._number = number

    def due(self, call: str, about: object) -> int:
        """See faults.Hook."""
        return self._number if call == "pidfd_open" else 0

    def done(self, call: str, about: object) -> None:
        """See faults.Hook."""


@pytest.fixture
def no_hook() -> Iterator[None]:
    """Afterwards."""
    yield
    faults.hook(None)


@pytest.mark.promise("MOVE-06")
@pytest.mark.parametrize("number", [errno.ESRCH, errno.EINVAL])
def test_who_ends_in_that_moment_has_ended(number: int, no_hook: None) -> None:
    """EINVAL: kernels before 6.15, where the process is being reaped."""
    one = identify(os.getpid())
    assert one
    faults.hook(Hook(number))
    assert pin(one.pid) is None
    with pinned(one) as descriptor:
        assert descriptor is None


def test_what_else_is_wrong_is_an_error(no_hook: None) -> None:
    faults.hook(Hook(errno.EMFILE))
    with pytest.raises(OSError, match="Too many"):
        pin(os.getpid())
