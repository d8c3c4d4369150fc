"""Users whose sockets follow routes by whose they are: from now on, and those that are open already."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from procroute.core.machine import Machine, Observed
from procroute.core.moving import Fate, assigned
from procroute.engine import open_sockets, touching
from procroute.engine.move import ground_of
from procroute.engine.reconcile import reconcile
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.interface import Kernel
from procroute.kernel.pinned import Known
from procroute.kernel.refusal import refused
from procroute.model import Existing, LiveRoute, Owner

_ACTS: Final = (Fate.FOLLOW, Fate.RESET)


def own(kernel: Kernel, owners: Mapping[int, Sequence[Owner]]) -> None:
    """Have these users' sockets, and no others, follow the routes of these numbers. Under the lock.

    Raises ProcrouteError where the kernel cannot do it; then no user's do.
    """

    def given(some: Mapping[int, Sequence[Owner]], now: Observed) -> list[LiveRoute]:
        return [replace(live, owners=tuple(some.get(live.number, ()))) for live in now.alive()]

    try:
        reconcile(kernel, kernel.identity, lambda now: given(owners, now))
    except ProcrouteError:
        if owners:
            reconcile(kernel, kernel.identity, lambda now: given({}, now))
        raise


def follow(
    identity: Identity,
    live: LiveRoute,
    members: Collection[Known],
    machine: Machine,
    *,
    existing: Existing,
    given: Mapping[int, int],
) -> int:
    """Have the open sockets of processes follow a route where they are. Of how many processes some do by now,
    or were ended.

    members: all processes of a user that do not go by another route. Sockets that somebody else holds as well
    are left. existing: what becomes of connections. given: as engine/move.py tells. Under the lock.
    Raises ProcrouteError; what was done by then stays done.
    """
    own = {one.pid for one in members}
    try:
        seen = open_sockets.look(members, given=given)
        done = touching.treat(
            seen, assigned, ground_of(identity, live, machine, existing), lambda pid: pid not in own
        )
    except OSError as e:
        raise refused(e, "socket", "move open sockets") from e
    acted = (one.holder for one, verdict in zip(seen, done, strict=True) if verdict.fate in _ACTS)
    return len(set(acted))
