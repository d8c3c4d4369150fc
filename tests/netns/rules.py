"""Rule files of a lab's machine."""

from __future__ import annotations

from typing import Final

from procroute.lab import Lab

FOLDER: Final = "/etc/procroute/rules.d"


def write(lab: Lab, text: str, name: str = "50-test.toml", folder: str = FOLDER) -> None:
    """Write one."""
    place = lab.path(folder)
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(text)
