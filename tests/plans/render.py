"""Steps as lines that a person can compare with what `ip` and `nft` print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import singledispatch

from procroute.core import plan
from procroute.core.door import Door
from procroute.core.overlap import text
from procroute.core.ruleset import Steered
from procroute.model import Entry, Hop, LiveRoute

Names = Mapping[int, str]


def lines(steps: Iterable[plan.Step], names: Names) -> list[str]:
    """One line a step. names: ifindex -> adapter."""
    return [_line(step, names) for step in steps]


@singledispatch
def _line(step: object, names: Names) -> str:
    raise TypeError(step)


@_line.register
def _(step: plan.AddEntry, names: Names) -> str:
    return f"add entry {entry(step.entry, names)}"


@_line.register
def _(step: plan.DeleteEntry, names: Names) -> str:
    return f"delete entry {entry(step.entry, names)}"


@_line.register
def _(step: plan.AddRule, names: Names) -> str:
    return f"add rule {text(step.rule)}"


@_line.register
def _(step: plan.DeleteRule, names: Names) -> str:
    return f"delete rule {text(step.rule)}"


@_line.register
def _(step: plan.AddTarget, names: Names) -> str:
    return f"add target {live(step.live)}"


@_line.register
def _(step: plan.UpdateTarget, names: Names) -> str:
    return f"update target {live(step.live)}"


@_line.register
def _(step: plan.RemoveTarget, names: Names) -> str:
    return f"remove target {step.live.route.name}"


@_line.register
def _(step: plan.SetDoor, names: Names) -> str:
    return f"set door {step.number} {door(step.door, names)}"


@_line.register
def _(step: plan.SetRuleset, names: Names) -> str:
    if step.ruleset is None:
        return "remove nft table"
    said, restore = [], step.ruleset.restore
    if step.ruleset.belted:
        said.append(f"belt of {' '.join(map(str, sorted(step.ruleset.belted)))}")
    said += (_steered(route, names) for route in step.ruleset.steered)
    if restore is not None:
        marks = " ".join(f"{m:#x}" for m in sorted(restore.marks))
        said.append(f"marks {marks} on {' '.join(sorted(restore.adapters))}")
    return f"set nft table: {'; '.join(said)}"


def _steered(route: Steered, names: Names) -> str:
    """`packets of 1 out by wan1; …, IPv6 reaches only fe80::/64`."""
    only = (
        f", {family.title} reaches only {' '.join(sorted(map(str, to))) or 'nothing'}"
        for family, to in sorted(route.confined.items(), key=lambda c: c[0].value)
    )
    return f"packets of {route.number} {door(route.door, names)}{''.join(only)}"


@_line.register
def _(step: plan.SetValidMark, names: Names) -> str:
    return f"{'set' if step.on else 'put back'} src_valid_mark {step.adapter}"


@_line.register
def _(step: plan.NameTables, names: Names) -> str:
    return " ".join(["name tables", *(f"{n}={name}" for n, name in sorted(step.names.items()))])


def live(of: LiveRoute) -> str:
    """`1 wan1 servers 192.0.2.53 known 198.51.100.1 silent 198.51.100.1`."""
    words = [str(of.number), of.route.name]
    for title, addresses in (("servers", of.servers), ("known", of.known), ("silent", of.silent)):
        if addresses:
            words += [title, *map(str, addresses)]
    if of.no_lookups:
        words.append("no look-ups")
    return " ".join(words)


def door(of: Door, names: Names) -> str:
    """`out by wan1; not from 203.0.113.2@wan2; lan 192.168.1.0/24@lan; servers 192.0.2.53 for 127.0.0.53`."""
    lan = sorted(f"{network}{'@' + names[ifindex] if ifindex else ''}" for network, ifindex in of.lan)
    out = " ".join(sorted(names[i] for i in of.adapters)) or "nothing"
    parts = [f"out by {out}"]
    if others := sorted(f"{ip}@{names[i]}" for ip, i in of.addresses if i not in of.adapters):
        parts.append("not from " + " ".join(others))
    if lan:
        parts.append("lan " + " ".join(lan))
    if of.dns_servers:
        servers, resolvers = (" ".join(map(str, a)) for a in (of.dns_servers, of.resolvers))
        parts.append(f"servers {servers} for {resolvers or 'loopback'}")
    if of.no_lookups:
        parts.append("no look-ups")
    return "; ".join(parts)


def entry(of: Entry, names: Names) -> str:
    """`7301: 0.0.0.0/0 via 198.51.100.1 dev wan1 onlink`."""
    words = [f"{of.table}:"]
    if of.kind != "unicast":
        words.append(of.kind)
    words.append(str(of.destination))
    if len(of.hops) == 1:
        words += _hop(of.hops[0], names)
    else:
        for hop in of.hops:
            words += ["nexthop", *_hop(hop, names)]
    if of.source is not None:
        words += ["src", str(of.source)]
    if of.metric:
        words += ["metric", str(of.metric)]
    words += (f"{name} {value}" for name, value in of.metrics)
    return " ".join(words)


def _hop(hop: Hop, names: Names) -> Iterator[str]:
    if hop.gateway is not None:
        yield f"via {hop.gateway}"
    yield f"dev {names.get(hop.ifindex, hop.ifindex)}"
    if hop.weight != 1:
        yield f"weight {hop.weight}"
    if hop.onlink:
        yield "onlink"
