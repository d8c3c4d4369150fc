"""Processes that stay the same whatever becomes of their numbers: by pidfd and start time.

    one = identify(4711)              # (pid, began), to be kept
    with pinned(one) as descriptor:   # None: it has ended; its number may be another's
        ...

A pidfd alone would do, were there always descriptors enough for 10,000; so it is opened for as long as
something is done to a process, and the start time says that it is the same one. The kernel counts it in
hundredths of a second (proc(5)); in one, no machine goes through all numbers.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from procroute.core.gathering import Kin
from procroute.kernel.faults import passed
from procroute.kernel.process_stat import began, stat


class Known(Struct, frozen=True):
    """A process. began: its start time in clock ticks since boot."""

    pid: int
    began: int


def kin(pid: int) -> tuple[Known, Kin] | None:
    """Who has a number now, and where it comes from; None: nobody, or one that has ended.

    One whose first thread has ended while others live has not.
    """
    try:
        found = stat(pid)
        if found.ended and not _has_threads(pid):
            return None
    except OSError:
        return None
    return Known(pid, found.began), Kin(found.parent, found.group, found.session, found.stack)


def identify(pid: int) -> Known | None:
    """Who has a number now; None: nobody, or one that has ended, as of `kin`."""
    try:
        since, ended = began(pid)
        return None if ended and not _has_threads(pid) else Known(pid, since)
    except OSError:
        return None


def _has_threads(pid: int) -> bool:
    """Whether a process has others than its first. Raises OSError."""
    return len(os.listdir(f"/proc/{pid}/task")) > 1


def pin(pid: int) -> int | None:
    """A pidfd: it stays that of this very process, whatever its number becomes. None when it has ended.

    Raises OSError.
    """
    try:
        return passed("pidfd_open", pid, os.pidfd_open, pid)
    except ProcessLookupError:
        return None
    except OSError as e:
        # Before Linux 6.15 also of one that ends in just this moment, and of who is but a thread.
        if e.errno == errno.EINVAL:
            return None
        raise


@contextmanager
def pinned(one: Known) -> Iterator[int | None]:
    """A pidfd of this very process, while the block lasts; None when it has ended. Raises OSError.

    What is done by its number alone is done to it only if `lives` says so afterwards, too.
    """
    descriptor = pin(one.pid)
    if descriptor is None:
        yield None
        return
    try:
        # Asked now that the descriptor is there: who still has the number then had it when it was opened.
        yield descriptor if identify(one.pid) == one else None
    finally:
        os.close(descriptor)


def lives(pidfd: int) -> bool:
    """Whether a pinned process has not ended: until then nobody else can have its number (pidfd_open(2))."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return not poll.poll(0)
