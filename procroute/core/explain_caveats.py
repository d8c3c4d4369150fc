"""Why packets of a process could go elsewhere than was explained, or nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from procroute.core.explain_case import Attachment, Case, OpenSockets
from procroute.core.explain_ways import Told
from procroute.core.failover import passed_over
from procroute.core.limits import WITHOUT_BPF
from procroute.core.rule_path import MAIN, Outcome, best
from procroute.model import HOLD, Marks, OnDown, Route
from procroute.protocol import Finding

_OF_MACHINE = frozenset({"no-netns-cookie", "strangers", "closed-sockets"})
"""Limits that matter for every routed process."""
_NO_MATTER = frozenset({"no-bpf-words", "no-bpf-ports", "no-bpf-counting", "no-bpf-cost"})
"""Limits that change no packet's way."""
_SHOWN = 4


def caveats(case: Case, ways: Sequence[Told]) -> Iterator[Finding]:
    """Those that hold for this process, always in the same order."""
    nearest = case.subject.nearest
    if nearest is not None:
        yield from _of_route(case, nearest)
    if case.subject.sockets is not None:
        yield from _of_sockets(case, case.subject.sockets)
    yield from _of_ways(case, ways)
    if nearest is not None:
        yield from _of_look_ups(case, nearest, ways)
        yield from _of_machine(case)


def _of_route(case: Case, nearest: Attachment) -> Iterator[Finding]:
    live = nearest.live
    if not nearest.attended:
        yield Finding(
            "unattended",
            "no engine and no daemon cares for this route: "
            "it stays as it is when gateways or addresses change",
        )
    if live.marks is not Marks.PACKETS:
        yield from _of_programs(nearest)
    adapter = case.machine.adapter_of(live)
    if adapter is None or adapter.state != "up":
        yield Finding(
            "adapter", f"its adapter {live.route.adapter} is {adapter.state if adapter else 'not there'}"
        )
    if adapter is not None:
        silent = [g for i, g in case.machine.failed_gateways if i == adapter.ifindex]
        for gateway in sorted(silent, key=str):
            yield Finding("gateway", f"the gateway {gateway} of {adapter.name} does not answer ARP or ND")
    if passed := passed_over(case.machine, live):
        yield Finding("failover", "; ".join(passed))
    if down := _when_down(live.route):
        yield Finding("on-down", down)
    if live.route.strict:
        yield Finding(
            "strict", f"nothing leaves but by {', '.join(live.route.adapters)}: no LAN by other adapters"
        )
    elif nearest.door is not None:
        yield from _lan(case, nearest)
    if live.route.inbound and not nearest.owner:
        yield Finding(
            "inbound", "UDP servers bound to no address answer by the adapter that they are called by"
        )
    if live.marks is not Marks.PACKETS:
        yield Finding(
            "mptcp", "MPTCP is refused (EPROTONOSUPPORT): programs that ask for it fall back to TCP or fail"
        )


def _when_down(route: Route) -> str:
    """What was asked for where it is no way out; empty: what holds anyway."""
    what = {
        OnDown.MAIN: "the machine's own way is taken, unprotected",
        OnDown.BLOCK: "nothing leaves, and the next one is not taken",
    }
    told = []
    if route.on_down in what:
        told.append(f"while {' or '.join(route.adapters)} is no way out {what[route.on_down]}")
    if route.reset:
        told.append("connections by what it leaves are ended")
    if route.hold != HOLD:
        told.append(f"it goes back after {route.hold:g} s")
    return "; ".join(told)


def _lan(case: Case, nearest: Attachment) -> Iterator[Finding]:
    door = nearest.door
    if door is None:
        return
    elsewhere = sorted(
        ((p, i) for p, i in door.lan if i not in door.adapters), key=lambda e: (e[0].version, e[0], e[1])
    )
    if elsewhere:
        shown = [f"{p} by {case.name(i) if i else 'any adapter'}" for p, i in elsewhere[:_SHOWN]]
        more = f" and {len(elsewhere) - _SHOWN} more" if len(elsewhere) > _SHOWN else ""
        yield Finding("lan", f"to the LAN it goes as the machine does: {', '.join(shown)}{more}")


def _of_sockets(case: Case, sockets: OpenSockets) -> Iterator[Finding]:
    routed = case.subject.nearest is not None
    if routed and not case.by_packets and sockets.older:
        yield Finding(
            "older-sockets",
            f"{_many(sockets.older)} no mark of ours: made before it was assigned, or by another process, "
            "and on the way that was taken then",
        )
    for mark, number in sorted(sockets.other_marks.items()):
        ours = case.identity.number(mark)
        whose = f"route {ours}" if ours else "somebody else's, or its own"
        yield Finding(
            "marks",
            f"{_many(number)} the mark {mark:#x} ({whose}): by that, rules may send it elsewhere",
        )
    own = case.subject.nearest.door.adapters if case.subject.nearest and case.subject.nearest.door else ()
    for ifindex, number in sorted(sockets.tied.items()):
        if not routed or ifindex not in own:
            what = (
                "the guard drops what leaves there, but for the LAN" if routed else "they leave by that alone"
            )
            verb = "is" if number == 1 else "are"
            yield Finding(
                "tied", f"{number} of its sockets {verb} bound to the adapter {case.name(ifindex)}: {what}"
            )
    if sockets.mptcp and routed:
        yield Finding(
            "mptcp-sockets",
            f"{sockets.mptcp} of its sockets speak MPTCP: their subflows carry no mark, "
            "and go as the machine's",
        )


def _of_programs(nearest: Attachment) -> Iterator[Finding]:
    if nearest.owner:
        yield Finding("unguarded", "nothing guards it: its mark and our ip rules alone hold it on its route")
        return
    needed = {"mark", "bound", "listen", "guard", "replies", "attempt"}
    needed |= {"inbound"} if nearest.live.route.inbound else set()
    missing = sorted(needed - nearest.kinds)
    if missing:
        yield Finding("programs", f"BPF programs of its target are missing: {', '.join(missing)}")


def _many(number: int) -> str:
    return "1 of its sockets carries" if number == 1 else f"{number} of its sockets carry"


def _of_ways(case: Case, ways: Sequence[Told]) -> Iterator[Finding]:
    perhaps = {met.rule for told in ways for met in told.path if met.outcome is Outcome.PERHAPS}
    for rule in sorted(perhaps, key=lambda r: (r.family.value, r.preference)):
        yield Finding(
            "selective-rule",
            f"the {rule.family.title} rule {rule.preference} selects by ports, user or adapter as well, "
            "and may send some elsewhere",
        )
    for told in ways:
        if told.bound is not None or told.way.outcome not in ("leaves", "dropped"):
            continue
        entry = best(case.entries, told.way.table or MAIN, told.question)
        by = {h.ifindex for h in entry.hops} if entry else set()
        if len(by) > 1:
            names = ", ".join(sorted(map(case.name, by)))
            yield Finding("multipath", f"{told.way.destination} is shared by {names}, by connection")


def _of_look_ups(case: Case, nearest: Attachment, ways: Sequence[Told]) -> Iterator[Finding]:
    live = nearest.live
    for to in dict.fromkeys(told.question.destination for told in ways):
        door = nearest.door
        if door is not None and door.follows_lookups and (to in door.resolvers or to.is_loopback):
            servers = ", ".join(map(str, door.dns_servers)) or "nowhere"
            yield Finding("dns-port", f"what it sends to port 53 of {to} goes to {servers} instead")
    if nearest.owner or not (live.servers or live.no_lookups):
        if case.machine.resolvers and all(r.is_loopback for r in case.machine.resolvers):
            yield Finding("dns-stub", "names are looked up by a resolver on this machine, on its own route")
        return
    if "helpers" in nearest.kinds:
        return
    for who in case.subject.asks:
        yield Finding(
            "dns-helper", f"names may be looked up by {who} in its stead, which asks on its own route"
        )


def _of_machine(case: Case) -> Iterator[Finding]:
    for limit in case.limits:
        if limit.id in _OF_MACHINE or (limit.id in WITHOUT_BPF and limit.id not in _NO_MATTER):
            yield Finding(limit.id, limit.text)
        elif limit.id == "root" and case.subject.uid == 0:
            yield Finding(
                "root", "It runs as root: it can leave its cgroup, or write frames past any routing."
            )
