"""What a person has chosen, kept in $XDG_CONFIG_HOME/procroute/tui.toml; a damaged file is passed over."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from procroute_tui.model.columns import BY_KEY
from procroute_tui.model.listing import VIEWS, Shape, View

DARK: Final = "procroute-dark"
_HEAD: Final = "# Written by procroute tui when it ends.\n"


class Settings(Struct, frozen=True):
    """columns: those shown, none: as many as fit; the rest as in Shape. details: whether the pane is open."""

    view: View = "list"
    sort: str = "route"
    descending: bool = False
    routed: bool = False
    threads: bool = False
    details: bool = False
    columns: tuple[str, ...] = ()
    theme: str = DARK

    def shape(self) -> Shape:
        """What rows are to be like."""
        return Shape(self.view, self.sort, self.descending, "", self.routed, self.threads)


def place() -> Path:
    """Where they are kept (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".config") / "procroute" / "tui.toml"


def read(path: Path) -> Settings:
    """Those of the file, each that makes sense; else what is usual. Raises nothing."""
    import tomllib

    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except (OSError, ValueError):
        return Settings()
    return settings_of(found)


def settings_of(found: dict[str, object]) -> Settings:
    """Out of a table: each value that makes sense."""
    usual, chosen = Settings(), {}
    for field in msgspec.structs.fields(Settings):
        try:
            chosen[field.name] = msgspec.convert(
                found.get(field.name, getattr(usual, field.name)), field.type, strict=True
            )
        except msgspec.ValidationError:
            continue
    if chosen.get("sort") not in BY_KEY:
        chosen.pop("sort", None)
    chosen["columns"] = tuple(key for key in chosen.get("columns", ()) if key in BY_KEY)
    return Settings(**chosen)


def write(path: Path, settings: Settings) -> None:
    """Keep them; where they cannot be kept they are not. Raises nothing."""
    lines = [_HEAD]
    for name, value in msgspec.structs.asdict(settings).items():
        # A JSON string, array and boolean are TOML's as well.
        lines.append(f"{name} = {msgspec.json.encode(value).decode()}\n")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            file.writelines(lines)
        os.replace(file.name, path)
    except OSError:
        return


assert Settings().view in VIEWS
