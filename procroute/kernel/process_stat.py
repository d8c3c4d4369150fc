"""What the kernel says of a process in one line: /proc/PID/stat (proc(5))."""

from __future__ import annotations

import os

from msgspec import Struct

_KTHREAD = 0x0020_0000  # include/linux/sched.h, PF_KTHREAD
_ENDED = frozenset({"Z", "X"})
_ENDED_BYTES = frozenset(letter.encode() for letter in _ENDED)


class Stat(Struct, frozen=True):
    """name: of its first thread. state: a letter. parent, group, session: PIDs. flags: PF_… (linux/sched.h).

    began: its start time in clock ticks since boot. stack: where its stack begins; 0: not told.
    """

    name: str
    state: str
    parent: int
    group: int
    session: int
    flags: int
    began: int
    stack: int

    @property
    def ended(self) -> bool:
        """Whether its first thread has ended, and with it the process, unless others of its threads live."""
        return self.state in _ENDED

    @property
    def of_kernel(self) -> bool:
        """Whether it is a thread of the kernel's own."""
        return bool(self.flags & _KTHREAD)


def began(pid: int) -> tuple[int, bool]:
    """When who has a number now began, and whether it has `ended`: of `stat` what tells processes apart, in
    half the time. Raises OSError where nobody has it."""
    words = _read(pid).rpartition(b")")[2].split(None, 20)
    return int(words[19]), words[0] in _ENDED_BYTES


def stat(pid: int) -> Stat:
    """Of who has a number now: of a process, or of a thread. Raises OSError where nobody has it."""
    return parsed(_read(pid))


def parsed(text: bytes) -> Stat:
    """What such a line says."""
    # The name may hold anything, brackets and blanks too.
    before, _, after = text.rpartition(b")")
    words = after.split()
    return Stat(
        before.partition(b"(")[2].decode(errors="replace"),
        words[0].decode(),
        int(words[1]),
        int(words[2]),
        int(words[3]),
        int(words[6]),
        int(words[19]),
        int(words[25]),
    )


def _read(pid: int) -> bytes:
    """As a file object would, in half the time: this is asked of every process of a tree, more than once."""
    descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
