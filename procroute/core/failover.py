"""By which of its adapters a route leaves: the first of its list that is a way out, without flapping.

The list may end with the machine's own way (`on_down = "main"`), which is always one. A route that has to
leave its adapter takes the first one that is a way out; to an earlier one it goes back when that has been a
way out for the hold time without a break. What it leaves by is written on its target, so every engine agrees:
one that has not watched for so long knows of no adapter that it was steady, and moves no route but from one
that is none.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from procroute.core.gateways import NoWay, default_entry, leads_out, way_out
from procroute.core.lookups import lookups
from procroute.core.machine import Machine
from procroute.core.tables import families
from procroute.model import Adapter, Family, LiveRoute, Marks, OnDown

_MAIN = "the machine's own way, unprotected"


def able(machine: Machine, live: LiveRoute, adapter: Adapter) -> bool:
    """Whether an adapter is a way out in at least one family: it is up and carries, has an address, and a
    gateway that is not known to be silent, or needs none; and no health check has found it dead."""
    return adapter.ifindex not in machine.ailing and any(
        default_entry(machine, adapter, family, live) for family in families(machine)
    )


def chosen(machine: Machine, live: LiveRoute) -> LiveRoute:
    """A live route with the way that it takes now, and the name servers of that."""
    if not live.route.chooses:
        return _following(machine, live)
    listed = machine.listed(live)
    before = live.members or (0,) * len(listed)
    now = tuple(old if a is None else a.ifindex for a, old in zip(listed, before, strict=True))
    place = _place(machine, live, listed)
    if place == len(listed):
        return replace(live, members=now, left=(), by_main=True)
    left = tuple(n for n in now if n and n in {*live.left, live.ifindex} and n != now[place])
    moved = replace(live, members=now, ifindex=now[place], left=left, by_main=False)
    if live.ifindex in (0, moved.ifindex) or moved.route.dns is not None:
        return _following(machine, moved)
    asked = lookups(machine, moved, machine.servers.get(moved.ifindex, ()))
    return replace(moved, servers=asked.servers, no_lookups=asked.refused)


def _following(machine: Machine, live: LiveRoute) -> LiveRoute:
    """A live route with the name servers that its adapter has now.

    While nobody keeps any, it has those that it had: who keeps them may be started again. Where its look-ups
    were refused, they go as for a new route as soon as that has some.
    """
    adapter = machine.adapter_of(live)
    own = machine.servers.get(adapter.ifindex, ()) if adapter is not None else ()
    kept = all(server.is_link_local for server in own) and not (live.no_lookups and adapter is not None)
    if live.route.dns is not None or live.by_main or kept:
        return live
    asked = lookups(machine, live, own)
    return replace(live, servers=asked.servers, no_lookups=asked.refused)


def awaited(machine: Machine, live: LiveRoute) -> frozenset[int]:
    """The ifindexes of adapters that a route would go back to, were they steady."""
    place = place_of(live)
    if not live.route.chooses or place is None or live.route.down is OnDown.BLOCK:
        return frozenset()
    earlier = machine.listed(live)[:place]
    return frozenset(a.ifindex for a in earlier if a is not None and able(machine, live, a))


def going_on(machine: Machine, live: LiveRoute, family: Family) -> list[Adapter]:
    """The adapters by which connections of a route go on although it leaves by another, or is about to.

    In IPv6 only while the adapter that it leaves by is a way out: the kernel tries a look-up that fails again
    with any source address, and new connections would leave by the old one. None without BPF: main chose the
    source address there.
    """
    now = machine.adapter_of(live)
    if live.by_main or live.route.reset or live.marks is Marks.PACKETS or now is None:
        return []
    left = [a for a in machine.members(live) if a.ifindex in live.left and a != now]
    if family is Family.IPV6 and default_entry(machine, now, family, live) is None:
        left = []
    soon = [now] if awaited(machine, live) and not live.route.strict else []
    return [a for a in (*left, *soon) if leads_out(machine, a, family, [live])]


def place_of(live: LiveRoute) -> int | None:
    """Where in its list the way is that a route takes; past its end: main. None: it has none yet."""
    if live.by_main:
        return len(live.route.adapters)
    return live.members.index(live.ifindex) if live.ifindex and live.ifindex in live.members else None


def why_not(machine: Machine, adapter: Adapter | None, name: str, live: LiveRoute) -> str:
    """Why an adapter is no way out, in words for people; empty where it is one."""
    if adapter is None:
        return f"{name} is gone"
    if able(machine, live, adapter):
        return ""
    if adapter.ifindex in machine.ailing:
        return f"{adapter.name} does not pass its health check"
    ways = [way_out(machine, adapter, family, live) for family in families(machine)]
    reasons = [f"{adapter.name} has {way.reason}" for way in ways if isinstance(way, NoWay)]
    gateways = [way.gateway for way in ways if not isinstance(way, NoWay)]
    silent = [f"{gateway} by {adapter.name} does not answer" for gateway in gateways]
    return " and ".join(dict.fromkeys(silent or reasons))


def passed_over(machine: Machine, live: LiveRoute) -> list[str]:
    """Lines on the adapters before the one that a route leaves by; and where that is none of them."""
    if not live.route.chooses or (place := place_of(live)) is None:
        return []
    lines = []
    for adapter, name in list(zip(machine.listed(live), live.route.adapters, strict=True))[:place]:
        again = f"{_name(adapter, name)} has not been a way out for {live.route.hold:g} s yet"
        lines.append(f"{why_not(machine, adapter, name, live) or again}: passed over now")
    return lines + ([f"{live.route.name} leaves by {_MAIN}"] if live.by_main else [])


def switch_words(machine: Machine, before: LiveRoute, now: LiveRoute, called: str = "") -> str:
    """That a route leaves in another way than before, and why, for people; empty where it does not.

    called: what people call it; empty: its own name.
    """
    called = called or now.route.name
    old, new = place_of(before), place_of(now)
    if old is None or new is None or (old == new and before.ifindex == now.ifindex):
        return ""
    listed, names = machine.listed(now), now.route.adapters
    if new == len(listed):
        reasons = (why_not(machine, a, name, now) for a, name in zip(listed, names, strict=True))
        return f"{'; '.join(reasons)}: {called} leaves by {_MAIN}"
    why = why_not(machine, listed[old], names[old], now) if old < len(listed) else ""
    name = _name(listed[new], names[new])
    if not why:
        why = f"{name} has been a way out for {now.route.hold:g} s" if old > new else f"{name} is another one"
    return f"{why}: {called} leaves by {name}"


def holds(routes: Iterable[LiveRoute]) -> frozenset[float]:
    """The hold times of these routes."""
    return frozenset(live.route.hold for live in routes if live.route.chooses)


def _name(adapter: Adapter | None, name: str) -> str:
    return name if adapter is None else adapter.name


def _place(machine: Machine, live: LiveRoute, listed: tuple[Adapter | None, ...]) -> int:
    """Where in the list the way is to be."""
    route, now = live.route, place_of(live)
    if route.down is OnDown.BLOCK and now is not None:
        return now
    fit = [n for n, a in enumerate(listed) if a is not None and able(machine, live, a)]
    fit += [len(listed)] if route.down is OnDown.MAIN else []
    if now is None or now not in fit:
        return next(iter(fit), now or 0)
    steady = (n for n in fit if n < now and (_index(listed[n]), route.hold) in machine.steady)
    return next(steady, now)


def _index(adapter: Adapter | None) -> int:
    return 0 if adapter is None else adapter.ifindex
