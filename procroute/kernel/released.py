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
_MANY: Final = 100
"""So many are remembered, the latest ones: an engine hears of it within some hundredths of a second."""


def note(assignment: Path) -> None:
    """Write it down. One that has gone is fine."""
    _write(assignment, [*(name for name in _names(assignment) if name != assignment.name), assignment.name])


def forget(assignment: Path) -> None:
    """A new assignment has this name."""
    names = _names(assignment)
    if assignment.name in names:
        _write(assignment, [name for name in names if name != assignment.name])


def is_noted(assignment: Path) -> bool:
    """Whether it was let go."""
    return assignment.name in _names(assignment)


def _names(assignment: Path) -> list[str]:
    try:
        return list(filter(None, os.fsdecode(os.getxattr(assignment.parent, _XATTR)).split("\n")))
    except OSError:
        return []


def _write(assignment: Path, names: list[str]) -> None:
    with contextlib.suppress(FileNotFoundError):
        files.set_attribute(assignment.parent, _XATTR, os.fsencode("\n".join(names[-_MANY:])))
