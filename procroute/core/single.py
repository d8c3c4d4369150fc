"""Programs of which one runs at a time: a second start hands its work to the first, and ends at once.

The first goes on by its own route, so who wants the work on another one is told. It is a guess, from what CMD
did and did not do.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

LONGEST: Final = 10.0
"""Who only hands over has ended by then; in seconds."""
_FOR_ANYTHING: Final = re.compile(
    r"(ba|da|z|k|mk|c|tc|fi|a)?sh|busybox|(python|perl|ruby|node|nodejs|php|lua|java|wish|guile)[\d.]*"
)
"""Programs that run other people's: two of them have nothing to do with each other."""


class Program(Struct, frozen=True):
    """What a command or a process executes. file: resolved; script: that file is its interpreter, not it."""

    file: str
    script: str = ""

    @property
    def name(self) -> str:
        """Without the directory."""
        return (self.script or self.file).rpartition("/")[2]


def handed_over(status: int, seconds: float, *, made_sockets: bool | None) -> bool:
    """Whether a command may have done no more than that. made_sockets: None where that is not known."""
    return status == 0 and seconds < LONGEST and made_sockets is False


def alike(command: Program, other: Program) -> bool:
    """Whether a process is the same program as a command.

    A script may only look for what it is called like: /usr/bin/firefox executes /usr/lib/firefox/firefox.
    """
    if not command.script and _FOR_ANYTHING.fullmatch(command.name):
        return False
    if command == other:
        return True
    return bool(command.script) and not other.script and other.name == command.name


def advice(who: str, pid: int, adapter: str, *, strict: bool) -> tuple[str, str]:
    """What the person at the terminal is told. who: the older process, in words."""
    option = "--strict " if strict else ""
    return (
        f"CMD has ended and made no connection: {who}, which ran before, may do its work, on its own route",
        f"hint: procroute assign --via {adapter} {option}{pid} puts that on the route",
    )
