"""The only place that prints. What is ours goes to stderr, unless a verb's answer is the purpose.

There names of processes, users and files cannot steer a terminal; who writes to stdout makes them so himself.
"""

from __future__ import annotations

import errno
import sys

from procroute.errors import ProcrouteError
from procroute.terminal import printable

TYPE_CHECKING = False  # a quick run that has something to say comes through here
if TYPE_CHECKING:
    from typing import TextIO

_INSTEAD = {"…": "...", "✔": "+", "✘": "x", "─": "-", "–": "-"}
_EXACT = {"strict", "surrogateescape"}
"""Error handlers that give back what came in, or refuse."""


def tell(line: str) -> None:
    """A line of ours beside what a command prints."""
    _write(printable(line), "33")


def tell_late(*lines: str) -> None:
    """The same for who has the prompt back already: not behind that on its line."""
    _write("\n".join(map(printable, lines)), "33", before="\n")


def tell_whose() -> None:
    """Under sudo, whose a command is, since that is seldom meant."""
    import os

    user = os.environ.get("SUDO_USER", "root")
    if user != "root":
        tell(f"the command runs as root; --user {user} runs it as {user}")


def error(problem: ProcrouteError) -> None:
    """What is wrong, line by line, and a hint."""
    text = "\n  ".join(problem.lines)
    _write("\n".join(map(printable, text.split("\n"))), "31")


def answer(text: str) -> None:
    """What a verb was called for. Raises OSError where nobody can be told."""
    _open(sys.stdout)
    sys.stdout.write(_fit(text, sys.stdout) + "\n")


def line(text: str, colour: str = "") -> None:
    """One of many lines that a verb was called for, at once. colour: of a terminal, if it shows any.

    Raises OSError where nobody can be told.
    """
    _open(sys.stdout)
    shown = _fit(text, sys.stdout)
    if colour and _colourful(sys.stdout):
        shown = f"\x1b[{colour}m{shown}\x1b[0m"
    try:
        sys.stdout.write(shown + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What could not be written is kept, and would fail again at exit.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def descriptor() -> int | None:
    """Where lines and answers go, if that is a file of the system's."""
    try:
        return sys.stdout.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def columns() -> int:
    """How wide the terminal is that answers go to; 0 where they go elsewhere, or it does not say."""
    import os

    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError, AttributeError):  # a pipe; no descriptor; closed by whoever called
        return 0


def _open(stream: TextIO | None) -> None:
    """Python has no stream at all for a descriptor that was closed by whoever called."""
    if stream is None:
        raise OSError(errno.EBADF, "standard output is closed")


def _write(text: str, colour: str, before: str = "") -> None:
    """To stderr, where there is one: nobody can be told that nobody can be told."""
    if sys.stderr is None:
        return
    name = f"\x1b[{colour}mprocroute:\x1b[0m" if _colourful(sys.stderr) else "procroute:"
    try:
        sys.stderr.write(_fit(f"{before}{name} {text}\n", sys.stderr))
        sys.stderr.flush()
    except OSError:
        pass


def _fit(text: str, stream: TextIO) -> str:
    """The text with signs of ours, and then any others, replaced where the stream's encoding lacks them."""
    encoding, errors = stream.encoding or "utf-8", stream.errors or "strict"  # none: text stays in memory
    try:
        text.encode(encoding, errors if errors in _EXACT else "strict")
    except UnicodeEncodeError:
        for sign, instead in _INSTEAD.items():
            text = text.replace(sign, instead)
        return text.encode(encoding, "replace" if errors in _EXACT else errors).decode(encoding)
    return text


def _colourful(stream: TextIO) -> bool:
    import os

    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
