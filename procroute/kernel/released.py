"""Which assignments were let go on purpose: a `run` with an engine of its own must not take it for leaving.

It is written on the target, which lives as long as that engine does: systemd removes an empty scope at once.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from procroute.kernel import files

_XATTR: Final = "trusted.procroute.released"


def note(assignment: Path) -> None:
    """Write it down. One that has gone is fine."""
    _write(assignment, _names(assignment) | {assignment.name})


def forget(assignment: Path) -> None:
    """A new assignment has this name."""
    names = _names(assignment)
    if assignment.name in names:
        _write(assignment, names - {assignment.name})


def is_noted(assignment: Path) -> bool:
    """Whether it was let go."""
    return assignment.name in _names(assignment)


def _names(assignment: Path) -> set[str]:
    try:
        return set(filter(None, os.fsdecode(os.getxattr(assignment.parent, _XATTR)).split("\n")))
    except OSError:
        return set()


def _write(assignment: Path, names: set[str]) -> None:
    with contextlib.suppress(FileNotFoundError):
        files.set_attribute(assignment.parent, _XATTR, os.fsencode("\n".join(sorted(names))))
