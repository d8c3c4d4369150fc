"""Units that can follow a route in place: those that hold nobody but the processes that are meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from procroute.core.access import Peer
from procroute.daemon import subjects
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, family, records, user_managers
from procroute.kernel.cgroup_mount import CgroupMount
from procroute.kernel.process_facts import Facts

_NEVER = frozenset({"init.scope"})
"""Where managers keep themselves."""


class WholeUnit(Struct, frozen=True):
    """A unit's cgroup, and who is in it: at least one."""

    place: Path
    members: tuple[Facts, ...]

    @property
    def owner(self) -> int:
        """The uid whose processes they are; root's, where they are of several."""
        uids = {one.uids[0] for one in self.members}
        return uids.pop() if len(uids) == 1 else 0


class Wanted(Struct, frozen=True):
    """Who is asked for, with their descendants or not (tree). unit: the cgroup of the one that was named.

    strict: of the route.
    """

    who: Collection[Facts]
    tree: bool = False
    unit: Path | None = None
    strict: bool = False


def whole_units(mount: CgroupMount, peer: Peer, wanted: Wanted) -> list[WholeUnit]:
    """The units that follow in place."""
    meant = {one.pid for one in wanted.who}
    if wanted.tree:
        meant |= set(family.descendants(meant))
    known = {one.pid: one for one in wanted.who}
    places = [wanted.unit] if wanted.unit else _units_of(mount, meant)
    found = []
    for place in dict.fromkeys(places):
        if _may_follow(mount.path, place, peer, strict=wanted.strict):
            members = _members(place, peer, meant, known, named=wanted.unit is not None)
            found += [WholeUnit(place, members)] if members else []
    return found


def _units_of(mount: CgroupMount, pids: Collection[int]) -> Iterator[Path]:
    """The units that processes run in. A slice holds units: that one is meant has to be said."""
    for pid in pids:
        try:
            place = mount.path / mount.of(pid).lstrip("/")
        except OSError:
            continue  # it has ended
        above = (place, *place.relative_to(mount.path).parents)
        unit = next((p for p in above if p.suffix in (".service", ".scope")), None)
        if unit is not None:
            yield mount.path / unit


def _may_follow(mount: Path, place: Path, peer: Peer, *, strict: bool) -> bool:
    """A user's own unit only for him or root, and on no strict route: he could leave it for another of his.

    Nothing within a route's target, where our own scopes are.
    """
    name = f"/{place.relative_to(mount)}"
    uid = user_managers.tree_of(name)
    routed = records.within_target(mount, str(Path(name).parent))
    if place.name in _NEVER or place.name.startswith("procroute") or routed:
        return False
    return uid == peer.uid and not strict if not peer.is_root else not (strict and uid)


def _members(
    place: Path,
    peer: Peer,
    meant: Collection[int],
    known: Mapping[int, Facts],
    *,
    named: bool,
) -> tuple[Facts, ...]:
    """Who is in a unit; nobody, if some of them are not meant, or may not be moved.

    named: the unit was, and so who has come meanwhile is meant, too.
    """
    inside = [pid for pid, _ in cgroups.processes(place)]
    if not all(pid and (named or pid in meant) for pid in inside):
        return ()
    try:
        others = subjects.checked(peer, (pid for pid in inside if pid not in known))
    except ProcrouteError:
        return ()
    return (*(known[pid] for pid in inside if pid in known), *others)
