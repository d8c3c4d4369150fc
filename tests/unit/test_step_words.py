"""Every step can be told to a person: no type's name, no brackets of ours."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import get_args

import pytest

from procroute.core.door import Door
from procroute.core.machine import Ours
from procroute.core.owners import Owned
from procroute.core.plan import Step, plan
from procroute.core.ruleset import Restore, Ruleset
from procroute.core.step_words import words
from procroute.engine.reconcile import reconcile
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.fake import Fake
from procroute.model import Entry, LiveRoute, Route
from tests.plans.words import adapter, machine, rule

ONE, TWO = LiveRoute(Route("wan1"), 1), LiveRoute(Route("wan1"), 1, no_lookups=True)
EVERYTHING = Ours(
    rules=frozenset(rule("4500: from all fwmark 0x2000000/0xfe000000 lookup 7301")),
    entries=frozenset({Entry(7301, ip_network("10.0.0.0/8"), kind="throw")}),
    targets=frozenset({ONE}),
    doors={1: Door(frozenset({2}))},
    ruleset=Ruleset(0xFF000000, restore=Restore(frozenset({"wan1"}), frozenset({1}))),
    fingerprint="any",
    valid_mark=frozenset({"wan1"}),
    table_names={7301: "procroute-wan1"},
    owners=frozenset({Owned(1000, 1)}),
)


@pytest.mark.promise("ERR-08")
def test_each_has_words() -> None:
    steps: list[Step] = [
        *plan(EVERYTHING, Ours()),
        *plan(Ours(), EVERYTHING),
        *plan(Ours(targets=frozenset({TWO})), EVERYTHING),
    ]
    assert {type(step) for step in steps} == set(get_args(Step))
    for step in steps:
        assert "(" not in words(step).replace("ip(8)", "").replace("(IPv4)", "").replace("(IPv6)", "")


class Forgetful(Fake):
    """A kernel that keeps nothing."""

    def apply(self, steps: Iterable[Step]) -> None:
        """Do as if it were done."""


@pytest.mark.promise("ERR-08")
def test_who_keeps_changing_things_is_told_in_words() -> None:
    kernel = Forgetful(machine(adapter("wan1", 2, "198.51.100.2/24")), Identity())
    with pytest.raises(ProcrouteError) as caught:
        reconcile(kernel, kernel.identity, lambda _: [ONE])
    assert caught.value.code == "unstable"
    assert caught.value.hint.endswith("the last to do was: make the cgroup of wan1")
