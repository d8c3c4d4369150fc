"""The ip rules by which outer packets of the kernel's tunnels take a route, whoever else is there."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from procroute.core.desired import desired
from procroute.core.machine import Machine, Observed, Ours
from procroute.core.overlap import text
from procroute.core.route_get import Question, Reply
from procroute.core.rule_path import Outcome, rule_path
from procroute.engine.reconcile import reconcile
from procroute.identity import Identity
from procroute.kernel.fake import Fake
from procroute.model import Entry, Family, LiveRoute, OnDown, Route
from tests.plans import words
from tests.unit.fib_rules import Found, Packet, look_up, ordered
from tests.unit.test_rule_tree import WORLD

pytestmark = pytest.mark.promise("OVER-08")
IDENTITY = Identity()
PORT, WG, MAIN = 51820, 9, 254
MACHINE = words.machine(
    words.adapter("wan1", 2, "198.51.100.2/24", "2001:db8:1::2/64"),
    words.adapter("wan2", 3, "203.0.113.2/24", "2001:db8:2::2/64"),
    words.adapter("wg0", WG, "10.13.0.2/24", "fd13::2/64"),
    main=[
        "0.0.0.0/0 via 203.0.113.1 dev wan2",
        "::/0 via 2001:db8:2::1 dev wan2",
        "0.0.0.0/0 via 198.51.100.1 dev wan1 metric 9",
        "::/0 via 2001:db8:1::1 dev wan1 metric 2000",
    ],
)
LIVE = LiveRoute(Route("wan1", dns=()), 5, ifindex=2, tunnels=((WG, PORT),))
WG_QUICK = words.rule("4399: not from all fwmark 0xca6c lookup 51820")
"""wg-quick's rule as the kernel numbers it when it comes after us: just before ours."""


def ours(machine: Machine, *routes: LiveRoute) -> Ours:
    """All of ours."""
    return desired(IDENTITY, Observed(machine, Ours()), routes)


def way(machine: Machine, family: Family, port: int, mark: int = 0, *routes: LiveRoute) -> Found:
    """Where a UDP packet goes by ours, other people's rules and main."""
    found = ours(machine, *(routes or (LIVE,)))
    main = words.rule("32766: from all lookup 254")
    rules = ordered([*machine.rules, *found.rules, *main], family)
    elsewhere = Entry(51820, family.everything)
    packet = Packet(WORLD[family], mark, udp_port=port)
    return look_up(rules, [*found.entries, *machine.main, elsewhere], packet)


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("mark", [0, 0xCA6C])
def test_outer_packets_find_the_table_of_their_route(family: Family, mark: int) -> None:
    assert way(MACHINE, family, PORT, mark).table == IDENTITY.route_table(5)
    assert way(MACHINE, family, PORT + 1, mark).table == MAIN
    assert way(MACHINE, family, 0, mark).table == MAIN


@pytest.mark.parametrize("family", Family)
def test_they_are_as_any_others_without(family: Family) -> None:
    for live in (
        replace(LIVE, tunnels=()),
        replace(LIVE, tunnels=((WG, 0),)),
        replace(LIVE, tunnels=((77, PORT),)),
    ):
        assert way(MACHINE, family, PORT, 0, live).table == MAIN
        assert not any(rule.udp_port for rule in ours(MACHINE, live).rules)


@pytest.mark.parametrize("family", Family)
def test_where_their_route_has_no_way_nothing_leaves(family: Family) -> None:
    down = replace(
        MACHINE,
        main=tuple(e for e in MACHINE.main if all(h.ifindex != 2 for h in e.hops)),
        adapters=tuple(replace(a, carrier=a.ifindex != 2) for a in MACHINE.adapters),
    )
    assert way(down, family, PORT).unreachable
    assert way(down, family, 0).table == MAIN
    by_main = replace(LIVE, route=replace(LIVE.route, on_down=OnDown.MAIN), members=(2,), by_main=True)
    assert way(down, family, PORT, 0, by_main).table == MAIN


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("mark", [0, 0xCA6C])
def test_beside_wg_quick(family: Family, mark: int) -> None:
    """Its rule catches what has another mark than its own; what has its own goes by main, as it wants it."""
    for preference in (4399, 32765):
        ahead = {r for r in ours(replace(MACHINE, rules=tuple(WG_QUICK)), LIVE).rules if r.preference < 4400}
        assert all(IDENTITY.owns_rule(r.protocol, r.preference, r.target) for r in ahead), (
            "or nobody removes it"
        )
        beside = replace(MACHINE, rules=tuple(replace(r, preference=preference) for r in WG_QUICK))
        assert way(beside, family, PORT, mark).table == IDENTITY.route_table(5)
        assert way(beside, family, PORT + 1, mark).table == (MAIN if mark else 51820)
        assert way(beside, family, PORT + 1, IDENTITY.mark(5)).table == IDENTITY.route_table(5)


def test_no_step_on_the_way_leaves_a_gap_or_a_rest() -> None:
    fake = Fake(MACHINE, IDENTITY)
    fake.targets[5] = replace(LIVE, tunnels=())
    fake.populated.add(5)
    reconcile(fake, IDENTITY)
    before = {replace(rule) for rule in fake.rules}
    reconcile(fake, IDENTITY, lambda _: (LIVE,))
    assert {rule.udp_port for rule in fake.rules} == {0, PORT}
    reconcile(fake, IDENTITY, lambda _: (replace(LIVE, tunnels=()),))
    assert set(fake.rules) == before


def test_what_is_said_of_such_a_rule() -> None:
    (rule,) = words.rule("4698: from all ipproto udp sport 51820 lookup 7305", Family.IPV4)
    assert text(rule) == "4698: from all ipproto udp sport 51820 lookup 7305 (IPv4)"
    question, reply = Question(WORLD[Family.IPV4]), Reply(kind="unicast", table=MAIN)
    assert rule_path([replace(rule, protocol=112)], [], question, reply, 112) == ()
    (met,) = rule_path([rule], [], question, reply, 112)
    assert met.outcome is Outcome.PERHAPS, "somebody else's, which may be for anything"
