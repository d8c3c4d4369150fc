"""The ip rules as the kernel walks them: every look-up lands where it should, also while they change."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from procroute.core.desired import desired
from procroute.core.machine import Machine, Observed, Ours
from procroute.core.rules import desired_rules
from procroute.engine.reconcile import steps
from procroute.identity import Identity
from procroute.kernel.fake import Fake
from procroute.model import Entry, Family, IPAddress, LiveRoute, Route, Rule
from tests.plans import words
from tests.unit.fib_rules import Found, Packet, look_up, ordered

IDENTITY = Identity()
MASKS = [
    IDENTITY,
    Identity(mark_mask=0xFF),
    Identity(mark_mask=0x3F00, preference=1),
    Identity(mark_mask=0x3 << 20),
]
MAIN = 254
MACHINE = words.machine(
    words.adapter("wan1", 2, "198.51.100.2/24", "2001:db8:1::2/64"),
    words.adapter("wan2", 3, "203.0.113.2/24", "2001:db8:2::2/64"),
    words.adapter("lan", 4, "192.168.1.2/24", "fd00:1::2/64"),
    main=[
        "0.0.0.0/0 via 203.0.113.1 dev wan2",
        "::/0 via 2001:db8:2::1 dev wan2",
        "0.0.0.0/0 via 198.51.100.1 dev wan1 metric 9",
        "::/0 via 2001:db8:1::1 dev wan1 metric 2000",
        "0.0.0.0/1 dev wan2",
        "224.0.0.0/4 dev wan2",
    ],
)
WORLD = {Family.IPV4: ip_address("192.0.2.1"), Family.IPV6: ip_address("2001:db8:ffff::1")}
ON_LAN = {Family.IPV4: ip_address("192.168.1.9"), Family.IPV6: ip_address("fd00:1::9")}
ELSEWHERE = {Family.IPV4: ip_address("192.0.2.77"), Family.IPV6: ip_address("2001:db8:77::1")}
MULTICAST = ip_address("224.0.0.251")

families = st.sampled_from(list(Family))
number_sets = st.frozensets(st.integers(1, 127), min_size=1, max_size=8)
some_or_none = st.frozensets(st.integers(1, 127), max_size=6)
foreign_bits = st.integers(0, 0xFFFF_FFFF)


def live(number: int, strict: bool = False) -> LiveRoute:
    """A route of that number, by one of two adapters."""
    return LiveRoute(Route(("wan1", "wan2")[number % 2], strict, dns=(ip_address(number),)), number)


def all_of(identity: Identity, routes: Collection[LiveRoute]) -> Ours:
    """What is there when everything is."""
    return desired(identity, Observed(MACHINE, Ours()), routes)


def find(ours: Ours, packet: Packet) -> Found:
    """Where a packet goes by all rules and entries of ours."""
    return look_up(ordered(ours.rules, Family.of(packet.destination)), ours.entries, packet)


def sources(family: Family) -> list[tuple[int, IPAddress]]:
    """ifindex and address of every adapter."""
    return [(a.ifindex, address) for a in MACHINE.adapters for address in a.usable(family)]


@pytest.mark.promise("PATH-01", "PATH-05", "LAN-01")
@settings(max_examples=40)
@given(number_sets, families, st.sampled_from(MASKS), foreign_bits)
def test_marked_look_ups_land_in_their_table(
    numbers: frozenset[int], family: Family, identity: Identity, foreign: int
) -> None:
    routes = [live(n) for n in numbers if n in identity.numbers] or [live(1)]
    ours = all_of(identity, routes)
    for route in routes:
        mark = identity.mark(route.number) | foreign & ~identity.mark_mask
        for destination in (WORLD[family], ON_LAN[family]):
            found = find(ours, Packet(destination, mark))
            assert found.table == identity.route_table(route.number)
            assert not found.unreachable


@pytest.mark.promise("IN-01", "IN-02", "LAN-01")
@settings(max_examples=40)
@given(number_sets, families, st.sampled_from(MASKS))
def test_bound_sockets_answer_by_the_adapter_of_their_address(
    numbers: frozenset[int], family: Family, identity: Identity
) -> None:
    routes = [live(n) for n in numbers if n in identity.numbers] or [live(1)]
    ours = all_of(identity, routes)
    for route in routes:
        mark = identity.mark(route.number) | identity.bound
        for ifindex, source in sources(family):
            assert find(ours, Packet(ON_LAN[family], mark, source)).table == identity.table
            found = find(ours, Packet(WORLD[family], mark, source))
            # The LAN leads nowhere.
            own = identity.adapter_table_of(ifindex) if ifindex != 4 else identity.route_table(route.number)
            assert (found.table, found.unreachable) == (own, False)
        nowhere = find(ours, Packet(WORLD[family], mark, ELSEWHERE[family]))
        assert nowhere.table == identity.route_table(route.number)


@pytest.mark.promise("LAN-06")
@settings(max_examples=25)
@given(number_sets, families)
def test_strict_bound_sockets_stay_in_their_own_table(numbers: frozenset[int], family: Family) -> None:
    routes = [live(n, strict=True) for n in numbers]
    ours = all_of(IDENTITY, routes)
    own = {"wan1": 2, "wan2": 3}
    for route in routes:
        mark = IDENTITY.mark(route.number)
        assert find(ours, Packet(ON_LAN[family], mark)).table == IDENTITY.route_table(route.number)
        for ifindex, source in sources(family):
            if own[route.route.adapter] == ifindex:
                found = find(ours, Packet(ON_LAN[family], mark | IDENTITY.bound, source))
                assert found.table == IDENTITY.route_table(route.number)


@pytest.mark.promise("BY-01", "BY-03", "KEEP-03")
@settings(max_examples=60)
@given(number_sets, families, foreign_bits, st.booleans(), st.sampled_from(MASKS))
def test_bystanders_fall_out_at_the_end(
    numbers: frozenset[int], family: Family, foreign: int, bound: bool, identity: Identity
) -> None:
    routes = [live(n) for n in numbers if n in identity.numbers] or [live(1)]
    ours = all_of(identity, routes)
    mark = foreign & ~identity.mark_mask
    targets = [WORLD[family], ON_LAN[family], *([MULTICAST] if family is Family.IPV4 else [])]
    for destination in targets:
        source = sources(family)[0][1] if bound else None
        found = find(ours, Packet(destination, mark, source))
        assert found.table is None
        assert found.evaluated == 2


@pytest.mark.promise("DOWN-01", "KILL-01")
@settings(max_examples=40)
@given(number_sets, st.integers(1, 127), families)
def test_ours_without_a_route_is_unreachable(numbers: frozenset[int], number: int, family: Family) -> None:
    ours = all_of(IDENTITY, [live(n) for n in numbers - {number}] or [live(number % 127 + 1)])
    mark = IDENTITY.mark(number)
    assert find(ours, Packet(WORLD[family], mark)).unreachable
    assert find(ours, Packet(WORLD[family], mark | IDENTITY.bound)).unreachable
    assert find(ours, Packet(WORLD[family], mark | IDENTITY.bound, ELSEWHERE[family])).unreachable
    if family is Family.IPV4:
        assert find(ours, Packet(ip_address("203.0.113.9"), mark)).unreachable


@pytest.mark.promise("DOWN-01", "DOWN-03", "DOWN-04")
@settings(max_examples=25)
@given(number_sets, families)
def test_a_table_without_its_default_is_unreachable(numbers: frozenset[int], family: Family) -> None:
    ours = all_of(IDENTITY, [live(n) for n in numbers])
    rules = ordered(ours.rules, family)
    for number in numbers:
        assert look_up(rules, (), Packet(WORLD[family], IDENTITY.mark(number))).unreachable


def test_multicast_of_routes_follows_main() -> None:
    ours = all_of(IDENTITY, [live(1), live(2)])
    main = Entry(MAIN, MACHINE.main[-1].destination, MACHINE.main[-1].hops)
    rules = ordered(ours.rules, Family.IPV4)
    assert look_up(rules, [*ours.entries, main], Packet(MULTICAST, IDENTITY.mark(2))).table == MAIN


# What VPNs and policy routers leave before and behind ours.
_FOREIGN = (
    "1: from all lookup 100",
    "100: not from all fwmark 0xca6c lookup 51820",
    "100: from all goto 5250",
    "1001: from all fwmark 0x100/0x3f00 lookup 101",
    "4399: from 198.51.100.2/32 lookup 102",
    "5210: from all fwmark 0x80000/0xff0000 lookup 254",
    "5250: from all fwmark 0x80000/0xff0000 unreachable",
    "5270: from all lookup 52",
    "32765: not from all fwmark 0xca6c lookup 51820",
)
_THEIRS = [Entry(t, f.everything) for t in (52, 100, 101, 102, 51820) for f in Family]
foreign_rules = st.lists(st.sampled_from(_FOREIGN), unique=True)
foreign_marks = st.sampled_from([0, 0xCA6C, 0x100, 0x80000, 0x40000])


def among(rules: Sequence[str]) -> tuple[Machine, list[Rule]]:
    """A machine with other people's rules, and the rules as they stand there without us."""
    machine = replace(MACHINE, rules=words.machine(rules=rules).rules)
    return machine, [*machine.rules, *words.machine(rules=["32766: from all lookup 254"]).rules]


@pytest.mark.promise("BY-01", "BY-02", "KEEP-02")
@settings(max_examples=40)
@given(foreign_rules, families, foreign_marks, st.booleans(), number_sets)
def test_bystanders_go_where_they_went_without_us(
    foreign: list[str], family: Family, mark: int, bound: bool, numbers: frozenset[int]
) -> None:
    machine, theirs = among(foreign)
    ours = desired(IDENTITY, Observed(machine, Ours()), [live(n) for n in numbers])
    entries = [*_THEIRS, *machine.main]
    source = sources(family)[0][1] if bound else None
    for destination in (WORLD[family], ON_LAN[family]):
        packet = Packet(destination, mark, source)
        before = look_up(ordered(theirs, family), entries, packet)
        after = look_up(ordered([*theirs, *ours.rules], family), [*entries, *ours.entries], packet)
        assert (after.table, after.entry) == (before.table, before.entry)


@pytest.mark.promise("LAN-04", "LAN-05", "ID-02")
@settings(max_examples=40)
@given(foreign_rules, families, foreign_marks, number_sets)
def test_other_peoples_rules_do_not_catch_what_is_marked(
    foreign: list[str], family: Family, others: int, numbers: frozenset[int]
) -> None:
    machine, theirs = among(foreign)
    ours = desired(IDENTITY, Observed(machine, Ours()), [live(n) for n in numbers])
    rules = ordered([*theirs, *ours.rules], family)
    entries = [*_THEIRS, *machine.main, *ours.entries]
    for number in numbers:
        mark = IDENTITY.mark(number) | others
        assert look_up(rules, entries, Packet(WORLD[family], mark)).table == IDENTITY.route_table(number)
        without = [e for e in entries if e.table != IDENTITY.route_table(number)]
        assert look_up(rules, without, Packet(WORLD[family], mark)).unreachable


class Changing:
    """A kernel whose rules change step by step, looked at after each."""

    def __init__(self, before: Collection[LiveRoute]) -> None:
        self.kernel = Fake(MACHINE, IDENTITY)
        self.to(before)

    def steps_to(self, routes: Collection[LiveRoute]) -> Iterator[tuple[list[Rule], list[Entry]]]:
        """Yields rules and entries before the first step and after each."""
        yield self.kernel.rules, self.kernel.entries
        for step in steps(IDENTITY, self.kernel.observe(), routes):
            self.kernel.apply([step])
            yield self.kernel.rules, self.kernel.entries

    def to(self, routes: Collection[LiveRoute]) -> None:
        """All steps at once."""
        for _ in self.steps_to(routes):
            pass


def look(rules: Sequence[Rule], entries: Sequence[Entry], packet: Packet) -> Found:
    """By what is there at this moment, main behind ours."""
    family = Family.of(packet.destination)
    behind = Rule(family, 32766, "table", MAIN)
    return look_up([*ordered(rules, family), behind], [*entries, *MACHINE.main], packet)


@pytest.mark.promise("CLI-14", "CLI-15", "KILL-01")
@settings(max_examples=25)
@given(number_sets, number_sets, families)
def test_living_routes_hold_while_others_come_and_go(
    before: frozenset[int], after: frozenset[int], family: Family
) -> None:
    staying = before & after
    changing = Changing([live(n) for n in before])
    bound = [(i, s) for i, s in sources(family) if i != 4]
    for rules, entries in changing.steps_to([live(n) for n in after]):
        for number in staying:
            mark, own = IDENTITY.mark(number), IDENTITY.route_table(number)
            found = look(rules, entries, Packet(WORLD[family], mark))
            assert (found.table, found.unreachable) == (own, False)
            for ifindex, source in bound:
                found = look(rules, entries, Packet(WORLD[family], mark | IDENTITY.bound, source))
                assert (found.table, found.unreachable) == (IDENTITY.adapter_table_of(ifindex), False)


@pytest.mark.promise("KILL-01")
@settings(max_examples=25)
@given(some_or_none, some_or_none, families)
def test_routes_that_come_or_go_never_leave_by_main(
    before: frozenset[int], after: frozenset[int], family: Family
) -> None:
    changing = Changing([live(n) for n in before])
    for rules, entries in changing.steps_to([live(n) for n in after]):
        for number in before ^ after if ordered(rules, family) else ():
            found = look(rules, entries, Packet(WORLD[family], IDENTITY.mark(number)))
            assert found.unreachable or found.table == IDENTITY.route_table(number)


@pytest.mark.promise("BY-01", "BY-02", "BY-03")
@settings(max_examples=25)
@given(some_or_none, some_or_none, families)
def test_bystanders_are_left_alone_at_every_step(
    before: frozenset[int], after: frozenset[int], family: Family
) -> None:
    changing = Changing([live(n) for n in before])
    (vpn,) = words.rule("5270: from all lookup 52", family)
    targets = [WORLD[family], ON_LAN[family], *([MULTICAST] if family is Family.IPV4 else [])]
    for rules, entries in changing.steps_to([live(n) for n in after]):
        for destination in targets:
            for source in (None, sources(family)[0][1]):
                packet = Packet(destination, 0xCA6C, source)
                there = [*entries, *_THEIRS, *MACHINE.main]
                assert look_up([*ordered(rules, family), vpn], there, packet).table == 52


@pytest.mark.promise("KILL-01")
@settings(max_examples=25)
@given(some_or_none, some_or_none)
def test_entries_stand_before_the_rules_that_lead_to_them(
    before: frozenset[int], after: frozenset[int]
) -> None:
    changing = Changing([live(n) for n in before])
    for rules, entries in changing.steps_to([live(n) for n in after]):
        there = {(e.table, e.family) for e in entries} | {(MAIN, f) for f in Family}
        assert {(r.target, r.family) for r in rules if r.action == "table"} <= there


@pytest.mark.promise("DOWN-06", "CLI-14")
@pytest.mark.parametrize("family", list(Family), ids=lambda f: f.title)
def test_a_new_gateway_leaves_no_gap(family: Family) -> None:
    changing = Changing([live(1)])
    lines = ["0.0.0.0/0 via 203.0.113.9 dev wan2", "::/0 via 2001:db8:2::9 dev wan2"]
    changing.kernel.become(replace(MACHINE, main=words.machine(*MACHINE.adapters, main=lines).main))
    seen = set()
    for rules, entries in changing.steps_to([live(1)]):
        found = look(rules, entries, Packet(WORLD[family], IDENTITY.mark(1)))
        assert found.entry is not None
        assert found.table == IDENTITY.route_table(1)
        seen |= {str(h.gateway) for h in found.entry.hops}
    assert seen in ({"203.0.113.1", "203.0.113.9"}, {"2001:db8:2::1", "2001:db8:2::9"})


@pytest.mark.promise("CLI-15")
@settings(max_examples=25)
@given(number_sets, st.randoms(use_true_random=False), families)
def test_with_any_of_our_rules_missing_nothing_lands_in_anothers_table(
    numbers: frozenset[int], chance: random.Random, family: Family
) -> None:
    ours = all_of(IDENTITY, [live(n) for n in numbers])
    rules = [r for r in ordered(ours.rules, family) if chance.random() < 0.5]
    for number in numbers:
        found = look_up(rules, ours.entries, Packet(WORLD[family], IDENTITY.mark(number)))
        assert found.table in (None, 0, IDENTITY.route_table(number))


@pytest.mark.promise("PERF-03")
@pytest.mark.parametrize(("count", "most"), [(1, 3), (100, 10), (127, 10)])
def test_few_rules_are_compared(count: int, most: int) -> None:
    numbers = range(1, count + 1)
    rules = ordered(desired_rules(IDENTITY, MACHINE, [live(n) for n in numbers]), Family.IPV6)
    entries = [Entry(IDENTITY.route_table(n), Family.IPV6.everything) for n in numbers]
    packets = (Packet(WORLD[Family.IPV6], IDENTITY.mark(n)) for n in numbers)
    assert max(look_up(rules, entries, packet).evaluated for packet in packets) == most


@settings(max_examples=25)
@given(st.frozensets(st.integers(1, 127), min_size=1))
def test_any_set_of_numbers_stays_within_our_preferences(numbers: frozenset[int]) -> None:
    rules = desired_rules(IDENTITY, MACHINE, [live(n) for n in numbers])
    assert all(IDENTITY.owns_preference(r.preference) for r in rules)
    assert all(r.target > r.preference for r in rules if r.action == "goto")
    tree = [r for r in rules if r.family is Family.IPV4 and r.mark & IDENTITY.number_mask and not r.source]
    assert len({r.preference for r in tree}) == len(tree)
    there = {r.preference for r in rules}
    assert all(r.target in there for r in rules if r.action == "goto")
