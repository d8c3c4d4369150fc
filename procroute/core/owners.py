"""Which users' sockets carry which route's mark: what the programs at the root of the tree are told."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from procroute.model import LiveRoute


class Owned(Struct, frozen=True, cache_hash=True):
    """A user, and the number of the route that his sockets follow.

    alone: only those that he makes while his real uid is the same as the effective one. strict: of the route;
    his servers then answer by its adapters alone.
    """

    uid: int
    number: int
    alone: bool = False
    strict: bool = False


def owned(routes: Iterable[LiveRoute]) -> frozenset[Owned]:
    """What should be told, for these routes. Who is written on two of them has just been given another."""
    by_uid: dict[int, Owned] = {}
    for live in sorted(routes, key=lambda live: live.number):
        for owner in live.owners:
            by_uid.setdefault(owner.uid, Owned(owner.uid, live.number, owner.alone, live.route.strict))
    return frozenset(by_uid.values())


def route_of(routes: Iterable[LiveRoute], real: int, effective: int) -> LiveRoute | None:
    """The route that the sockets of these uids follow where their maker is in no target; None: none."""
    for live in sorted(routes, key=lambda live: live.number):
        for owner in live.owners:
            if owner.uid == effective and (real == effective or not owner.alone):
                return live
    return None
