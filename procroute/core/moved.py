"""What is told of sockets and look-ups after a move."""

from __future__ import annotations

from typing import Final

from procroute.model import LiveRoute
from procroute.protocol import Moved

NOT_FOLLOWED: Final = "not followed"
"""How those words begin that say so."""


def total(one: Moved, other: Moved) -> Moved:
    """Both together."""
    reasons = {*one.left, *other.left}
    left = {reason: one.left.get(reason, 0) + other.left.get(reason, 0) for reason in sorted(reasons)}
    return Moved(one.follow + other.follow, one.remain + other.remain, one.reset + other.reset, left)


def dns_words(live: LiveRoute, daemon: str) -> str:
    """Whether the look-ups of a process that runs already follow its route.

    daemon: the one that looks up in its stead, and cannot be closed to it; empty: none.
    """
    if live.route.dns == ():
        return "left to the system, as asked"
    if live.no_lookups:
        return "refused: no name server is known for the adapter; --dns gives one"
    if daemon:
        what = f"start it by root's procroute run (--user NAME), or stop {daemon}"
        return f"{NOT_FOLLOWED}: {daemon} asks for this process; {what}"
    servers = ", ".join(map(str, live.servers))
    return f"followed: asked at {servers}" if servers else "left to the system"
