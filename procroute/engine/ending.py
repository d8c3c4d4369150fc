"""End those that have left a strict route, with all that they start meanwhile; and say who left."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

from procroute.core.leaving import Member
from procroute.engine.words import describe
from procroute.kernel import family
from procroute.kernel.pinned import pin
from procroute.terminal import printable

# What is ended may have had children meanwhile: so often at once it is looked again.
_PASSES: Final = 20
ENDED: Final = ": ended, as the route is strict"


def end_all(
    outside: Callable[[], Iterable[Member]], name: Callable[[list[Member]], list[Member]]
) -> list[Member]:
    """End all that left. outside: looks who is there; name: tells of them, before they are ended.

    Returns what `name` returned, of all looks.
    """
    named = []
    for _ in range(_PASSES):
        pinned = [(m.pid, pin(m.pid)) for m in outside()]
        descriptors = {pid: descriptor for pid, descriptor in pinned if descriptor is not None}
        try:
            # Looked at again now that they are pinned: a number may have become another's before.
            left = [m for m in outside() if m.pid in descriptors]
            named += name(left)
            if not [m for m in left if family.kill(descriptors[m.pid])]:
                break
        finally:
            for descriptor in descriptors.values():
                os.close(descriptor)
    return named


def went(member: Member, followers: int) -> str:
    """`gimp (pid 4711) and 2 more below it left the route for the cgroup /app.slice`."""
    more = f" and {followers} more below it" if followers else ""
    return f"{describe(member.pid)}{more} left the route for the cgroup {printable(member.cgroup)}"
