"""Entries as messages: there and back, and as pyroute2 reads them."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute.kernel.entry_messages import decoded, encoded
from procroute.model import Entry, Family, Hop, IPAddress, IPNetwork

_KINDS = ["unreachable", "blackhole", "prohibit", "throw"]


def _networks(family: Family) -> st.SearchStrategy[IPNetwork]:
    bits = 32 if family is Family.IPV4 else 128
    return st.builds(
        lambda number, length: ip_network((number >> (bits - length) << (bits - length), length)),
        st.integers(2**32, 2**bits - 1) if bits == 128 else st.integers(0, 2**bits - 1),
        st.integers(0, bits),
    ).filter(lambda n: n.version == family.value)


@st.composite
def _entries(draw: st.DrawFn) -> Entry:
    family = draw(st.sampled_from(Family))
    gateways = st.none() | st.ip_addresses(v=family.value)
    if family is Family.IPV4:
        gateways |= st.ip_addresses(v=6)
    hop = st.builds(Hop, st.integers(1, 2**31 - 1), gateways, st.booleans())
    hops = draw(st.just(()) | st.tuples(hop) | st.lists(hop, min_size=2, max_size=4, unique=True).map(tuple))
    return Entry(
        table=draw(st.integers(1, 2**32 - 1)),
        destination=draw(_networks(family)),
        hops=hops,
        kind="unicast" if hops else draw(st.sampled_from(_KINDS)),
        scope=draw(st.sampled_from([0, 200, 253, 254])),
        source=draw(st.none() | st.ip_addresses(v=family.value)),
        metric=draw(st.integers(0, 2**32 - 1)),
        metrics=draw(st.just(()) | st.tuples(st.just(("mtu", 1400)), st.just(("advmss", 1300)))),
        protocol=draw(st.integers(0, 255)),
        preference=draw(st.sampled_from([-1, 0, 1])) if family is Family.IPV6 else 0,
    )


@given(_entries())
def test_what_is_written_is_read(entry: Entry) -> None:
    assert decoded(encoded(entry)) == entry


@given(_entries())
def test_pyroute2_reads_the_same(entry: Entry) -> None:
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    body = encoded(entry)
    message = rtmsg(struct.pack("=I", 16 + len(body)) + bytes(12) + body)
    message.decode()
    assert (message["family"], message["dst_len"]) == (
        {Family.IPV4: 2, Family.IPV6: 10}[entry.family],
        entry.destination.prefixlen,
    )
    assert message.get_attr("RTA_TABLE") == entry.table
    assert message.get_attr("RTA_PRIORITY", 0) == entry.metric
    if entry.destination.prefixlen:
        assert ip_address(message.get_attr("RTA_DST")) == entry.destination.network_address
    metrics = message.get_attr("RTA_METRICS", {"attrs": []})["attrs"]
    assert tuple((name.removeprefix("RTAX_").lower(), value) for name, value in metrics) == entry.metrics
    many = message.get_attr("RTA_MULTIPATH")
    seen = many or ([message] if message.get_attr("RTA_OIF") else [])
    assert [_gateway(hop) for hop in seen] == [hop.gateway for hop in entry.hops]
    if many:
        assert [hop["oif"] for hop in many] == [hop.ifindex for hop in entry.hops]


def _gateway(hop: Any) -> IPAddress | None:
    via = hop.get_attr("RTA_VIA")
    text = via["addr"] if via else hop.get_attr("RTA_GATEWAY")
    return ip_address(text) if text else None


@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_selects_more_than_a_destination_is_no_entry(at: int) -> None:
    """Clones, and entries for a TOS or a source, are left out."""
    body = bytearray(encoded(Entry(7301, ip_network("10.0.0.0/8"), kind="throw")))
    body[{1: 2, 2: 3, 3: 9}[at]] = 2
    assert decoded(bytes(body)) is None


_ENCAPSULATED = struct.pack("=HHHxx", 6, 21, 1)  # RTA_ENCAP_TYPE, LWTUNNEL_ENCAP_MPLS


@pytest.mark.promise("LAN-01")
def test_what_is_encapsulated_is_no_entry() -> None:
    """Be it on its only hop or on one of several."""
    body = encoded(Entry(254, ip_network("10.0.0.0/8"), (Hop(3),)))
    assert decoded(body) is not None
    assert decoded(body + _ENCAPSULATED) is None
    hop = struct.pack("=HBBi", 16, 0, 0, 3) + _ENCAPSULATED
    several = struct.pack("=HH", 4 + 8 + len(hop), 9) + struct.pack("=HBBi", 8, 0, 0, 4) + hop
    assert (
        decoded(
            encoded(Entry(254, ip_network("10.0.0.0/8"), kind="unreachable"))[:7]
            + b"\x01"
            + bytes(4)
            + several
        )
        is None
    )


def test_what_leads_to_an_object_that_cannot_be_told_is_no_entry() -> None:
    by_object = struct.pack("=HHI", 8, 30, 7)
    body = bytearray(encoded(Entry(254, ip_network("10.0.0.0/8"), kind="unreachable")) + by_object)
    body[7] = 1  # unicast
    assert decoded(bytes(body)) is None
    entry = decoded(bytes(body), lambda number: (Hop(number),))
    assert entry is not None
    assert entry.hops == (Hop(7),)
