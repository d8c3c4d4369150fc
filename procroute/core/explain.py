"""How packets of a process go, and why: findings as data and in words, from what the kernel has told.

    asked = to_ask(case, destination)                      # core/explain_ways.py
    explained = explain(case, [Answered(a, …) for a in asked])

Nothing is guessed about the way: adapter, source address and table are the kernel's own answers to the mark
and the uid that sockets of the process have. Which ip rule led there is found by walking them
(core/rule_path.py), and what the guard does with it is read off its door (core/guard.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from procroute.core.explain_adapter import healthy, look_ups
from procroute.core.explain_case import Answered, Case
from procroute.core.explain_caveats import caveats
from procroute.core.explain_outer import Outer, tunnels
from procroute.core.explain_ways import THE_WORLD, Told, told
from procroute.core.gateways import NoWay, way_out
from procroute.core.overlap import text
from procroute.core.rule_path import LOCAL, MAIN, Met, Outcome
from procroute.core.rules import stands_before
from procroute.core.tables import families
from procroute.model import Family
from procroute.protocol import Explained, Finding

_NAMES: Mapping[int, str] = {LOCAL: "local", MAIN: "main", 253: "default"}
_ERRORS: Mapping[str, str] = {
    "ENETUNREACH": "network is unreachable",
    "EHOSTUNREACH": "no route to host",
    "EACCES": "prohibited",
    "EINVAL": "swallowed by a blackhole",
}
_OUTCOMES: Mapping[Outcome, str] = {
    Outcome.NOTHING: "nothing there for it",
    Outcome.DECIDES: "decides",
    Outcome.PERHAPS: "perhaps: it selects by what was not asked about",
}
ELSEWHERE = Finding(
    "namespace",
    "it is in another network namespace, with adapters, rules and routes of its own: "
    "what holds here means nothing there",
)


def explain(case: Case, answers: Sequence[Answered], below: Sequence[Outer] = ()) -> Explained:
    """The explanation. answers: to what `to_ask` asked, in that order. below: of tunnels that it goes by."""
    subject, nearest = case.subject, case.subject.nearest
    if subject.elsewhere:
        found = [*_place(case), ELSEWHERE]
        return Explained(subject=subject.title, findings=found, caveats=[])
    everything = [told(case, answered) for answered in answers]
    ways = [each for each in everything if not each.asked.looks_up]
    return Explained(
        subject=subject.title,
        route="" if nearest is None else nearest.live.route.name,
        mark=case.packet_mark,
        findings=[*_place(case), *_marked(case), *healthy(case), *look_ups(case), *tunnels(case, below)],
        families={name: list(_family(case, of)) for name, of in _by_family(everything).items()},
        ways=[each.way for each in ways],
        caveats=list(caveats(case, ways)),
    )


def _place(case: Case) -> Iterator[Finding]:
    subject, nearest = case.subject, case.subject.nearest
    yield Finding("cgroup", f"it is in the cgroup {subject.cgroup}")
    if nearest is None:
        yield Finding("bystander", "that is no route's: it is not routed, and goes by main")
        return
    route = nearest.live.route
    if nearest.owner:
        yield Finding("owner", f"that is no route's; the sockets of its user follow route {route.name}")
        return
    yield Finding("target", f"which is in {nearest.cgroup}, the target of route {route.name}")
    if subject.assigned:
        yield Finding("assigned", subject.assigned)
    for other in subject.targets[1:]:
        yield Finding("outer", f"and in that of {other.live.route.name}, whose guard holds as well")


def _marked(case: Case) -> Iterator[Finding]:
    nearest = case.subject.nearest
    if nearest is None:
        yield Finding(
            "mark", f"its sockets carry no mark of ours; they are asked for as uid {case.subject.uid}"
        )
        return
    number, uid = nearest.live.number, case.subject.uid
    if case.by_packets:
        why = "nft marks its packets" if case.steered else "the belt marks its packets"
        yield Finding("mark", f"{why} with {case.packet_mark:#x} (route {number}); its sockets carry none")
        return
    tied = f", and {case.socket_mark | case.identity.bound:#x} once they are bound to an address"
    bound = tied if "bound" in nearest.kinds or not nearest.owner else ""
    yield Finding(
        "mark",
        f"its new sockets carry the mark {case.socket_mark:#x} (route {number}){bound}; uid {uid}",
    )


def _by_family(ways: Sequence[Told]) -> dict[str, list[Told]]:
    found: dict[str, list[Told]] = {}
    for each in ways:
        found.setdefault(each.way.family, []).append(each)
    return found


def _family(case: Case, ways: Sequence[Told]) -> Iterator[str]:
    """The way of sockets that are bound to nothing in full, and the others where they differ."""
    first = ways[0]
    yield _destination(first)
    yield from (_rule(case, met) for met in first.path)
    yield from _outcome(case, first)
    for each in ways[1:]:
        what = f"look-ups to {each.way.destination}" if each.asked.looks_up else f"bound to {each.bound}"
        yield f"{what}: {_short(each)}"


def _destination(each: Told) -> str:
    world = each.way.destination in map(str, THE_WORLD.values())
    return f"to {each.way.destination}" + (", for any address of the world" if world else "")


def _rule(case: Case, met: Met) -> str:
    line = text(met.rule).rpartition(" (")[0]
    if met.rule.action == "table":
        before, _, after = line.partition(f" lookup {met.rule.target}")
        line = f"{before} lookup {table_name(case, met.rule.target)}{after}"
    whose = "" if met.rule.protocol == case.identity.protocol or met.rule.target in _NAMES else ", not ours"
    outcome = _OUTCOMES.get(met.outcome, "")
    return f"rule {line}{whose}" + (f": {outcome}" if outcome else "")


def table_name(case: Case, table: int) -> str:
    """A table as people know it."""
    if table in _NAMES:
        return _NAMES[table]
    if table == case.identity.table:
        return f"{table} (the LAN)"
    for target in case.subject.targets:
        if table == case.identity.route_table(target.live.number):
            return f"procroute-{target.live.route.name} ({table})"
    ifindex = table - case.identity.adapter_table
    if case.identity.owns_table(table) and ifindex > 0:
        return f"{table} (of {case.name(ifindex)})"
    return str(table)


def _outcome(case: Case, each: Told) -> Iterator[str]:
    way = each.way
    if way.outcome == "unreachable":
        why = _ERRORS.get(way.error, "see errno(3)")
        yield f"the kernel refuses it: {way.error} ({why}); nothing is sent"
        yield from (f"because {reason}" for reason in why_not(case, each))
        return
    if way.outcome == "local":
        yield f"it is this machine's own address: it stays here (by {way.adapter})"
        return
    gateway = f" to the gateway {way.gateway}" if way.gateway else ", where the destination is on the link"
    yield f"table {table_name(case, way.table)}: it leaves by {way.adapter}{gateway}"
    yield f"with the source address {way.source}"
    if each.verdict is None:
        yield "no guard of ours looks at it"
    elif each.verdict.passes:
        yield f"the guard lets it pass: {each.verdict.why}"
    else:
        yield f"the guard drops it: {each.verdict.why}"


def _short(each: Told) -> str:
    way = each.way
    if way.outcome == "unreachable":
        return f"refused, {way.error}"
    if way.outcome == "local":
        return "it stays here"
    by = f"by {way.adapter}" + (f" to {way.gateway}" if way.gateway else "")
    if way.outcome == "dropped":
        return f"it would leave {by}; the guard drops it: {each.verdict.why if each.verdict else ''}"
    changed = each.asked.looks_up or way.source != way.bound
    return f"it leaves {by}" + (f", from {way.source}" if changed else "")


def why_not(case: Case, each: Told) -> Iterator[str]:
    """Why there is no way by the route's adapter, as far as that is known."""
    family = Family.IPV4 if each.way.family == "ipv4" else Family.IPV6
    nearest = case.subject.nearest
    if family not in families(case.machine):
        yield "this kernel has no IPv6"
    if nearest is None:
        yield "no table that its rules lead to has a way there"
        return
    live = nearest.live
    adapter = case.machine.adapter_of(live)
    if adapter is None:
        yield f"the adapter {live.route.adapter} is not there"
        return
    way = way_out(case.machine, adapter, family, live)
    if isinstance(way, NoWay):
        yield f"{adapter.name} has {way.reason}"
    elif (adapter.ifindex, way.gateway) in case.machine.failed_gateways:
        yield f"the gateway {way.gateway} of {adapter.name} does not answer"
    elif (
        each.path
        and each.path[-1].rule.preference < case.identity.preference
        and stands_before(case.identity, each.path[-1].rule, family)
    ):
        yield "a rule of somebody else's stands before ours"
    else:
        yield f"the table {table_name(case, case.identity.route_table(live.number))} has no way there now"
