"""Our nft table as text, and what it is known again by."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest
from msgspec.structs import replace

from procroute.core.door import Door
from procroute.core.nft_text import fingerprint, script
from procroute.core.ruleset import Counter, Place, Restore, Ruleset, Steered
from procroute.model import Family

MASK, ONE, TWO = 0xFF00_0000, 0x0200_0000, 0x0400_0000
DOOR = Door(
    frozenset({2}),
    frozenset({(ip_network("192.168.1.0/24"), 4), (ip_network("192.168.1.7/32"), 5)}),
    (ip_address("198.51.100.53"),),
    (ip_address("203.0.113.53"), ip_address("127.0.0.53")),
)
STEERED = Steered(2, TWO, False, DOOR, (3, 4, 5), {Family.IPV6: frozenset({ip_network("fe80::/64")})})
WHOLE = Ruleset(MASK, {1: ONE}, (STEERED,), Restore(frozenset({"wan1"}), frozenset({ONE})))
PLACES = {1: [Place("procroute.slice/procroute-wan1.slice", 2)], 2: [Place("procroute.slice/two.slice", 2)]}


def others() -> Iterator[Ruleset]:
    """Rulesets that differ from WHOLE in one thing."""
    yield replace(WHOLE, mask=0xFF00)
    yield replace(WHOLE, belted={})
    yield replace(WHOLE, belted={3: ONE})
    yield replace(WHOLE, restore=None)
    yield replace(WHOLE, restore=Restore(frozenset({"wan2"}), frozenset({ONE})))
    for changed in (
        replace(STEERED, strict=True),
        replace(STEERED, others=(3, 4)),
        replace(STEERED, confined={}),
        replace(STEERED, door=replace(DOOR, adapters=frozenset({7}))),
        replace(STEERED, door=replace(DOOR, lan=frozenset())),
        replace(STEERED, door=replace(DOOR, resolvers=())),
        replace(STEERED, door=replace(DOOR, dns_servers=(), no_lookups=True)),
    ):
        yield replace(WHOLE, steered=(changed,))


@pytest.mark.promise("BELT-05")
def test_whatever_differs_has_another_fingerprint() -> None:
    found = [fingerprint(ruleset) for ruleset in (None, WHOLE, *others())]
    assert len(set(found)) == len(found)
    assert fingerprint(None) == ""


def test_the_table_carries_its_fingerprint_and_how_many_rules_it_has() -> None:
    text = script(WHOLE, PLACES, {})
    lines = text.splitlines()
    chains = (block.partition("\n  }")[0] for block in text.split("\n  chain ")[1:])
    rules = sum(len([line for line in c.splitlines()[1:] if "policy accept" not in line]) for c in chains)
    assert f'  comment "{fingerprint(WHOLE)} {rules}"' in lines
    assert script(None, {}, {}) == "table inet procroute\ndelete table inet procroute\n"


def test_counts_go_on_and_names_stay_as_they_are() -> None:
    text = script(WHOLE, PLACES, {"lost_1": Counter(3, 200), "gone": Counter(9, 9)})
    assert "counter lost_1 {\n    packets 3 bytes 200\n" in text
    assert "gone" not in text
    odd = {1: [Place(r"procroute.slice/procroute-wg\x2dhome.slice", 2)]}
    assert r'"procroute.slice/procroute-wg\x2dhome.slice" : goto lost_1' in script(WHOLE, odd, {})


def test_the_nearest_target_decides() -> None:
    places = {1: [Place("procroute.slice/a", 2)], 2: [Place("user.slice/u/procroute.slice/b", 4)]}
    text = script(WHOLE, places, {})
    assert text.index('level 3 "user.slice/u/procroute.slice"') < text.index('level 1 "procroute.slice"')
    assert "jump" not in text


def test_who_is_in_none_of_the_nearer_targets_may_be_in_one_above() -> None:
    """A slice with a target that lies in a target, or beside one, of another slice's."""
    places = {1: [Place("user.slice/u", 2)], 2: [Place("user.slice/u/procroute.slice/b", 4)]}
    text = script(WHOLE, places, {})
    belt = [line for line in text.splitlines() if "of_targets_" in line and "socket" in line]
    assert ["jump of_targets_4" in belt[0], "goto of_targets_2" in belt[1]] == [True, True]
