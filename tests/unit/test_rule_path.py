"""The rules that a packet meets, against the kernel's walk (fib_rules.py) of the same rules and tables."""

from __future__ import annotations

import errno
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute.core.route_get import Question, Reply
from procroute.core.rule_path import Outcome, rule_path
from procroute.model import Entry, Family, Hop, Rule
from tests.unit.fib_rules import Packet, look_up, ordered

promise = pytest.mark.promise
TO, FROM = ip_address("192.0.2.1"), ip_address("198.51.100.2")
_TABLES = (100, 101, 102, 254, 255)


def entry(table: int, kind: str = "unicast") -> Entry:
    """A default."""
    return Entry(table, Family.IPV4.everything, (Hop(2),) if kind == "unicast" else (), kind=kind)


@st.composite
def _rules(draw: st.DrawFn) -> list[Rule]:
    preferences = sorted(draw(st.lists(st.integers(1, 30), max_size=12)))
    found = []
    for preference in preferences:
        action = draw(st.sampled_from(["table", "table", "goto", "unreachable"]))
        target = {"table": draw(st.sampled_from(_TABLES)), "goto": draw(st.integers(preference + 1, 31))}
        mask = draw(st.sampled_from([0, 0, 1, 3]))
        found.append(
            Rule(
                Family.IPV4,
                preference,
                action,
                target.get(action, 0),
                draw(st.integers(0, 3)) & mask,
                mask,
                draw(st.booleans()) if mask else False,
                draw(st.sampled_from([None, None, ip_network("198.51.100.0/24")])),
            )
        )
    return ordered(found, Family.IPV4)


_entries = st.lists(
    st.builds(
        entry, st.sampled_from(_TABLES), st.sampled_from(["unicast", "unicast", "unreachable", "throw"])
    ),
    max_size=4,
    unique_by=lambda e: e.table,
)


@promise("EXPLAIN-02")
@given(rules=_rules(), entries=_entries, mark=st.integers(0, 3), source=st.sampled_from([None, FROM]))
def test_the_last_rule_is_the_one_that_decides(
    rules: list[Rule], entries: list[Entry], mark: int, source: object
) -> None:
    address = FROM if source else None
    found = look_up(rules, entries, Packet(TO, mark, address))
    refused = found.table is None or found.unreachable
    reply = Reply(error=errno.ENETUNREACH) if refused else Reply(kind="unicast", table=found.table or 0)
    path = rule_path(rules, entries, Question(TO, address, mark), reply, 112)
    assert [met.outcome for met in path[:-1]].count(Outcome.DECIDES) == 0
    if found.table is None:
        assert not path or path[-1].outcome is not Outcome.DECIDES
        return
    assert path[-1].outcome is Outcome.DECIDES
    if found.table == 0:
        assert path[-1].rule.action == "unreachable"
    else:
        assert path[-1].rule.target == found.table


@promise("EXPLAIN-02")
def test_a_rule_that_selects_by_more_may_be_met_or_not() -> None:
    by_port = Rule(Family.IPV4, 5, "table", 100, selective=True)
    l3mdev = Rule(Family.IPV4, 6, "table", 0, selective=True)
    main = Rule(Family.IPV4, 10, "table", 254)
    path = rule_path(
        [by_port, l3mdev, main], [entry(254)], Question(TO), Reply(kind="unicast", table=254), 112
    )
    assert [(m.rule, m.outcome) for m in path] == [(by_port, Outcome.PERHAPS), (main, Outcome.DECIDES)]


@promise("EXPLAIN-02")
def test_table_local_is_part_of_main_while_nobody_has_a_rule() -> None:
    """net/ipv4/fib_frontend.c, fib_trie_unmerge: the kernel says main then."""
    local = Rule(Family.IPV4, 0, "table", 255)
    path = rule_path([local], [], Question(TO), Reply(kind="local", table=254), 112)
    assert [(m.rule, m.outcome) for m in path] == [(local, Outcome.DECIDES)]
