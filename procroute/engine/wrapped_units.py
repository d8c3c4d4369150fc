"""Which units are wrapped: the system's, and users' as far as their folders can be read."""

from __future__ import annotations

import contextlib
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from procroute.core.unit_texts import DROP_IN, Wrapped, wrapped
from procroute.written.files import NoFileError, read_any

SYSTEM: Final = Path("/etc/systemd/system")
OF_USER: Final = "systemd/user"
"""From a user's folder of configurations on (systemd.unit(5))."""
_USUAL: Final = ".config"


class WrappedUnit(Struct, frozen=True):
    """user: whose manager has it; empty: the system's."""

    unit: str
    user: str


def wrapped_in(folder: Path) -> dict[str, Wrapped]:
    """Units with a drop-in of ours in a manager's folder, by their names. Who may not read it finds none."""
    found = {}
    with contextlib.suppress(OSError):
        for path in sorted(folder.glob(f"*.service.d/{DROP_IN}")):
            with contextlib.suppress(OSError, NoFileError):
                said = wrapped(read_any(path).decode(errors="replace"))
                if said is not None:
                    found[path.parent.name.removesuffix(".d")] = said
    return found


def everybodys() -> list[WrappedUnit]:
    """Those of all managers: users that are listed (getpwent(3)), each in his home."""
    return [WrappedUnit(unit, user) for user, folder in _folders() for unit in wrapped_in(folder)]


def _folders() -> Iterator[tuple[str, Path]]:
    yield "", SYSTEM
    homes = {one.pw_dir: one.pw_name for one in reversed(pwd.getpwall()) if one.pw_dir.startswith("/")}
    for home, user in sorted(homes.items(), key=lambda each: each[1]):
        yield user, Path(home, _USUAL, OF_USER)
