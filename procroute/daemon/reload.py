"""The configuration, read again while routes are open."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from msgspec.structs import replace

from procroute import config
from procroute.config import Settings
from procroute.identity import CONFIG_FILE
from procroute.model import LiveRoute, Marks


def reread(
    now: Settings, routes: Collection[LiveRoute], file: Path = Path(CONFIG_FILE)
) -> tuple[Settings, list[str]]:
    """What the file says, and lines on what of it does not hold yet. routes: those that are open.

    Numbers of ours cannot change under what is in the kernel by them: those of `now` stay.
    Raises ProcrouteError config-bad; nothing of a bad file is taken.
    """
    new = config.read(file)
    notes = []
    if new.identity != now.identity:
        notes.append("[identity] holds when procrouted is started anew and nothing is routed")
    unlike = Marks.SOCKETS if new.packet_marks else Marks.BOTH
    names = sorted(live.route.name for live in routes if live.marks is unlike)
    if new.packet_marks != now.packet_marks and names:
        notes.append(f"packet_marks holds for routes opened from now on; open: {', '.join(names)}")
    return replace(new, identity=now.identity), notes
