"""Files for systemd that are ours: by their first line, a mark. Others of that name are somebody else's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from procroute.errors import ProcrouteError
from procroute.kernel import files

_MODE: Final = 0o644


def text_of(path: Path) -> str | None:
    """What is in a file; None: it is not there. Raises OSError."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def write(path: Path, text: str) -> None:
    """Have a file so, for everybody to read. Raises OSError."""
    files.replace(path, text, _MODE)


def foreign(paths: Iterable[Path]) -> ProcrouteError:
    """The error for files that are not ours."""
    names = ", ".join(map(str, paths))
    return ProcrouteError("file-foreign", f"not made by procroute: {names}", "move it away first")
