"""What of a plan puts right what others did, and whom that is laid to."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from procroute.core import plan
from procroute.core.damage import ADAPTERS, NFT_TABLE, Author, Deed, blamed, damage, of_others, spoken
from procroute.core.door import Door
from procroute.core.machine import Ours
from procroute.core.step_words import things
from procroute.kernel.authors import is_ours
from procroute.model import Entry, LiveRoute, Route
from tests.plans.words import rule

pytestmark = pytest.mark.promise("TRUE-03")

(RULE, _), (OTHER, _) = (rule(f"{n}: from all fwmark 0x2000000/0xfe000000 lookup 7301") for n in (4500, 4501))
ENTRY = Entry(7301, ip_network("10.0.0.0/8"), kind="throw")
LAST = Ours(
    rules=frozenset({RULE}),
    entries=frozenset({ENTRY}),
    targets=frozenset({LiveRoute(Route("wan1"), 1)}),
    doors={1: Door(frozenset({2}))},
    fingerprint="any",
)
IP, NFT = Author(11, "ip", sure=True), Author(12, "nft", sure=True)
KERNEL = Author(of_kernel=True, sure=True)


def test_what_is_gone_was_damaged() -> None:
    now = Ours(targets=LAST.targets)
    steps = plan.plan(replace(LAST, fingerprint=""), now)
    assert damage(steps, now, LAST) == steps
    assert things(steps) == ["the programs of route 1", "1 entry of our tables", "1 ip rule"]


def test_what_is_new_was_put_there() -> None:
    now = replace(LAST, rules=LAST.rules | {OTHER})
    steps = plan.plan(LAST, now)
    assert damage(steps, now, LAST) == steps == [plan.DeleteRule(OTHER)]
    assert things(steps) == ["1 ip rule too many"]


def test_what_nobody_else_made_is_not_laid_to_others() -> None:
    """A gateway that does not answer: the keeper takes away what the writer has just put there."""
    steps: list[plan.Step] = [plan.DeleteRule(OTHER), plan.DeleteEntry(ENTRY), plan.AddRule(RULE)]
    assert of_others(steps, []) == [plan.AddRule(RULE)]
    place = (ENTRY.table, ENTRY.destination)
    assert of_others(steps, [Deed(place, True, IP)]) == [plan.AddRule(RULE)]
    assert of_others(steps, [Deed(place, False, IP)]) == steps[1:]
    assert of_others(steps, [Deed(OTHER, False, IP), Deed(place, False, IP)]) == steps


def test_what_shall_be_otherwise_was_not_damaged() -> None:
    other = replace(ENTRY, destination=ip_network("172.16.0.0/12"))
    wanted = Ours(
        rules=frozenset({OTHER}),
        entries=frozenset({other}),
        targets=frozenset({replace(LiveRoute(Route("wan1"), 1), no_lookups=True)}),
        doors={1: Door(frozenset({3}))},
        fingerprint="any",
    )
    steps = plan.plan(wanted, LAST)
    assert len(steps) == 6
    assert damage(steps, LAST, LAST) == []


def test_what_was_done_meanwhile_was_not_damaged() -> None:
    """An adapter that comes and goes again while the route is brought to follow it."""
    there = Door(frozenset({2, 3}))
    now = replace(LAST, doors={1: there})
    back: list[plan.Step] = [plan.SetDoor(1, LAST.doors[1])]
    assert damage(back, now, LAST) == back
    assert damage(back, now, LAST, [plan.SetDoor(1, there)]) == []
    assert damage(back, replace(LAST, doors={}), LAST, [plan.SetDoor(1, there)]) == back


def test_the_last_who_did_it_is_named() -> None:
    deeds = [
        Deed(RULE, True, Author(10, "other", sure=True)),
        Deed(RULE, True, IP),
        Deed(RULE, False, NFT),
        Deed(OTHER, True, NFT),
    ]
    assert blamed([plan.AddRule(RULE)], deeds) == [IP]
    assert blamed([plan.DeleteRule(RULE)], deeds) == [NFT]
    assert blamed([plan.SetRuleset(None)], deeds) == []
    assert blamed([plan.SetRuleset(None)], [*deeds, Deed(NFT_TABLE, False, NFT)]) == [NFT]


def test_entries_that_go_with_their_adapter_are_the_kernels_doing() -> None:
    deeds = [Deed(ADAPTERS, False, KERNEL)]
    assert blamed([plan.AddEntry(ENTRY)], deeds) == [KERNEL]
    assert blamed([plan.AddRule(RULE)], deeds) == []
    deeds.insert(0, Deed((7301, ENTRY.destination), True, IP))
    assert blamed([plan.AddEntry(ENTRY)], deeds) == [IP]


def test_who_it_was_is_said_in_few_words() -> None:
    likely = [replace(IP, pid=n, sure=False) for n in (20, 21, 22, 23)]
    assert spoken([]) == ""
    assert spoken([IP, NFT, IP]) == "ip (pid 11), nft (pid 12)"
    assert spoken(likely) == "probably ip (pids 20, 21 and 2 more)"
    assert spoken([KERNEL]) == "the kernel"
    assert spoken([Author(24)]) == "a process that has ended (pid 24)"
    assert spoken([Author(port=1 << 31)]) == "a process that has ended"


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        ("/usr/bin/procrouted", True),
        ("/usr/bin/python3 /usr/local/bin/procroute run --via wan1 -- true", True),
        ("python3.11 -E -m procroute daemon", True),
        ("nft delete table inet procroute", False),
        ("python3 -m other procroute", False),
        ("python3", False),
        ("python3 -m", False),
        ("", False),
        ("vi procroute", False),
    ],
)
def test_a_procroute_is_told_by_its_command_line(line: str, ours: bool) -> None:
    assert is_ours(line.split(" ")) is ours
