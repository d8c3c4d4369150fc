"""The only place that prints. What is ours goes to stderr, unless a verb's answer is the purpose."""

from __future__ import annotations

import contextlib
import sys

from procroute.errors import ProcrouteError


def tell(line: str) -> None:
    """A line of ours beside what a command prints."""
    _write(line, "33")


def error(problem: ProcrouteError) -> None:
    """What is wrong, and a hint."""
    _write(problem.message + (f"\n  hint: {problem.hint}" if problem.hint else ""), "31")


def answer(text: str) -> None:
    """What a verb was called for."""
    sys.stdout.write(text + "\n")


def _write(text: str, colour: str) -> None:
    """To stderr, where there is one: nobody can be told that nobody can be told."""
    if sys.stderr is None:
        return
    name = f"\x1b[{colour}mprocroute:\x1b[0m" if _colourful() else "procroute:"
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{name} {text}\n")
        sys.stderr.flush()


def _colourful() -> bool:
    import os

    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
