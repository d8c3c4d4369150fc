"""What can go wrong, as data: a stable code, a text for people, a hint that helps.

    raise ProcrouteError("adapter-unknown", "there is no adapter wan9", hint="did you mean wan1?")

The command line turns the error into two lines on stderr and an exit status from the table below.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers take it; typing itself takes longer than a quick run has
if TYPE_CHECKING:
    from typing import Final


class Exit:
    """Exit statuses of `procroute`; docs/exit-codes.md prints the same table.

    `run` uses 125, 126 and 127 as env(1), timeout(1) and POSIX shells do, so that they can be told from
    those of CMD as well as these can.
    """

    OK: Final = 0
    FOUND: Final = 1
    USAGE: Final = 2
    REFUSED: Final = 3
    INCOMPLETE: Final = 4
    FAILED: Final = 125
    NOT_EXECUTABLE: Final = 126
    NOT_FOUND: Final = 127
    SIGNAL: Final = 128


_STATUS: Final = {
    "usage": Exit.USAGE,
    "processes-alive": Exit.REFUSED,
    "cleanup-incomplete": Exit.INCOMPLETE,
    "command-not-executable": Exit.NOT_EXECUTABLE,
    "command-not-found": Exit.NOT_FOUND,
}


class ProcrouteError(Exception):
    """A failure that a user can cause or mend.

    code: stable kebab-case word for programs; message: what is wrong, without a full stop; hint: what to do
    about it, or nothing.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    @property
    def lines(self) -> list[str]:
        """What people are told: what is wrong, and the hint where there is one."""
        return [self.message, *([f"hint: {self.hint}"] if self.hint else ())]

    @property
    def status(self) -> int:
        """The exit status that stands for this error."""
        return _STATUS.get(self.code, Exit.FAILED)


def refused(error: OSError) -> ProcrouteError:
    """A system call's failure that nobody has better words for: what for, and why, without numbers."""
    place = f"{error.filename}: " if error.filename else ""
    return ProcrouteError("system", f"the system refused: {place}{error.strerror or error}")
