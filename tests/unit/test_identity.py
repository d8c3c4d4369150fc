"""Numbers that are ours: marks and route numbers lead to each other for every mask that can be configured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute import config
from procroute.errors import ProcrouteError
from procroute.identity import ADAPTER_TABLES, Identity

masks = st.integers(2, 8).flatmap(
    lambda bits: st.integers(0, 32 - bits).map(lambda s: ((1 << bits) - 1) << s)
)
identities = masks.map(lambda mask: config.parse(f"[identity]\nmark_mask = {mask}", "test.toml").identity)


@pytest.mark.promise("ID-01")
@given(identities, st.integers(0, 0xFFFF_FFFF))
def test_marks_carry_the_number_and_nothing_else(identity: Identity, foreign: int) -> None:
    marks = set()
    for number in identity.numbers:
        mark = identity.mark(number)
        assert mark & ~identity.number_mask == 0
        assert identity.number(mark) == number
        assert identity.number(mark | identity.bound | foreign & ~identity.mark_mask) == number
        marks.add(mark)
    assert len(marks) == len(identity.numbers) == 2**identity.number_bits - 1
    assert identity.number(foreign & ~identity.mark_mask) == 0
    assert identity.bound | identity.number_mask == identity.mark_mask
    assert not identity.bound & identity.number_mask


@pytest.mark.promise("ID-01")
@given(identities)
def test_tables_of_routes_and_adapters_are_ours_and_apart(identity: Identity) -> None:
    routes = {identity.route_table(n) for n in identity.numbers}
    adapters = {identity.adapter_table_of(i) for i in (1, 2, 99_999)}
    assert not routes & adapters
    assert identity.table not in routes
    assert all(identity.owns_table(t) for t in routes | adapters | {identity.table})
    assert not any(identity.owns_table(t) for t in (*TABLES_OF_OTHERS.values(), identity.table - 1))


# Their default numbers, and the highest of those that start somewhere and go up.
TABLES_OF_OTHERS = {
    "none": 0,
    "Tailscale": 52,
    "Calico, mwan3": 250,
    "default": 253,
    "main": 254,
    "local": 255,
    "pbr": 256,
    "Cilium": 2005,
    "OVN-Kubernetes": 1100,
    "sing-box": 2022,
    "NetBird": 0x1BD0,
    "FRR": 10_000,
    "wg-quick": 51_820,
    "10.0.0.1": 0x0A00_0001,
    "Mullvad": 0x6D6F_6C65,
}


@pytest.mark.promise("ID-02")
def test_an_adapter_beyond_our_tables_is_refused_in_words() -> None:
    identity = Identity()
    last = ADAPTER_TABLES - 1
    assert identity.owns_table(identity.adapter_table_of(last))
    assert not identity.owns_table(identity.adapter_table + last + 1)
    with pytest.raises(ProcrouteError, match=str(last)) as raised:
        identity.adapter_table_of(last + 1)
    assert raised.value.code == "adapter-unfit"


def test_defaults_are_those_of_the_documentation() -> None:
    identity = Identity()
    assert (identity.bound, identity.number_mask) == (0x0100_0000, 0xFE00_0000)
    assert (identity.numbers[0], identity.numbers[-1]) == (1, 127)
    assert (identity.preference, identity.last_preference) == (4400, 4699)
    assert identity.owns_preference(4400)
    assert identity.owns_preference(4699)
    assert not identity.owns_preference(4700)
    assert identity.mark(1) == 0x0200_0000


@pytest.mark.promise("ID-02")
@pytest.mark.parametrize(
    "others", [0x00FF_0000, 0x3F00, 0xCA6C, 0xC000], ids=["Tailscale, pbr", "mwan3", "wg-quick", "Kubernetes"]
)
def test_defaults_keep_clear_of_others(others: int) -> None:
    assert not Identity().mark_mask & others
