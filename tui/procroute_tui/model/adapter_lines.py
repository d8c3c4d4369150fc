"""The adapters, as lines of parts, for so many cells."""

from __future__ import annotations

from collections.abc import Iterator

from procroute.protocol import AdapterFacts
from procroute.terminal import printable
from procroute_tui.model import words
from procroute_tui.model.columns import Role
from procroute_tui.model.machine import Machine

Part = tuple[str, Role]
_WIDE, _MIDDLE = 132, 76
"""From so many cells on an adapter's addresses have room beside its rates; from so many, bars."""


def adapter_lines(machine: Machine, room: int, now: float, *, second: bool) -> list[list[Part]]:
    """A line for each adapter; where there is no room beside, one more: with `second` with the addresses of
    each, else of each dead one with why. now: seconds since the epoch."""
    lines: list[list[Part]] = []
    names = max([4, *(len(printable(a.name)) for a in machine.adapters)])
    states = max([2, *(len(_state(a)) for a in machine.adapters)])
    most = max((_dropped(machine, a) for a in machine.adapters), default=0)
    drops = len(f"  {most} dropped") if most else 0
    for adapter in machine.adapters:
        line = list(_first(machine, adapter, min(names, 15), states, room))
        dropped = f"  {_dropped(machine, adapter)} dropped" if _dropped(machine, adapter) else ""
        about = list(_about(adapter, now))
        if room >= _WIDE:
            line += [(f"{dropped:<{drops}}", "bad"), ("  ", ""), *about]
        elif dropped:
            line.append((dropped, "bad"))
        lines.append(line)
        below = about if second else list(_why(adapter, now))
        if room < _WIDE and below:
            lines.append([(" " * 4, ""), *below])
    return lines


def _first(machine: Machine, adapter: AdapterFacts, names: int, states: int, room: int) -> Iterator[Part]:
    up = adapter.state == "up" and not _is_dead(adapter)
    yield (" ● " if up else " ✗ " if _is_dead(adapter) else " ○ "), "good" if up else "bad"
    yield printable(adapter.name)[:names].ljust(names), "name"
    yield f" {_state(adapter):<{states}}", "dim" if up else "bad"
    history = list(machine.rates.history.get(adapter.name, ()))
    rate = machine.rates.adapters.get(adapter.name)
    bars = 0 if room < _MIDDLE else 8 if room < 100 else 10 if room < 180 else 20
    for arrow, what in (("↓", "received"), ("↑", "sent")):
        value = None if rate is None or not history else getattr(rate, what)
        yield f"  {arrow} {words.rate(value):>7}", ""
        if bars:
            yield f" {words.bars([getattr(r, what) for r in history], bars)}", "route"
    using = machine.using(adapter.name)
    many = "proc." if room < _MIDDLE else "process  " if using == 1 else "processes"
    yield f"  {using:>3} {many}", "" if using else "dim"


def _is_dead(adapter: AdapterFacts) -> bool:
    """Whether it is up, and health checks say that it leads nowhere."""
    return adapter.state == "up" and adapter.health is not None and adapter.health.state == "down"


def _state(adapter: AdapterFacts) -> str:
    return "dead" if _is_dead(adapter) else printable(adapter.state)


def _dropped(machine: Machine, adapter: AdapterFacts) -> int:
    """Packets that the guard of its routes has dropped."""
    routes = machine.rates.routes
    return sum(routes[name].dropped for name in adapter.routes if name in routes)


def _why(adapter: AdapterFacts, now: float) -> Iterator[Part]:
    """For how long it has been dead, and why."""
    if adapter.health is not None and _is_dead(adapter):
        yield f"for {words.ago(now - adapter.health.since)}: {printable(adapter.health.reason)}  ", "bad"


def _about(adapter: AdapterFacts, now: float) -> Iterator[Part]:
    """What a tunnel is over; for how long it has been dead, and why; its first address of each family with
    the gateway there; its name servers."""
    if adapter.over:
        yield f"over {printable(adapter.over)}  ", ""
    yield from _why(adapter, now)
    for family, colon in (("ipv4", False), ("ipv6", True)):
        own = [a.partition("/")[0] for a in adapter.addresses if (":" in a) == colon]
        own = [a for a in own if not a.lower().startswith("fe80:")] or own
        way = adapter.ways.get(family)  # type: ignore[call-overload]
        gateway = f"→{way.gateway}" + ("" if way.answers else " (silent)") if way and way.gateway else ""
        if own or gateway:
            yield f"{printable((own or [''])[0] + gateway)}  ", "dim"
    if adapter.servers:
        yield f"dns {printable(' '.join(adapter.servers))}", "dim"
