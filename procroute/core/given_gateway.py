"""A gateway that somebody gave: whether an adapter can have it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from procroute.core.machine import Machine
from procroute.model import Adapter, Family, IPAddress

_BROADCAST: Final = IPv4Address("255.255.255.255")


def why_not(machine: Machine, adapter: Adapter, gateway: IPAddress) -> str | None:
    """Why an address cannot be the gateway of an adapter, None where it can.

    The first address of an IPv6 subnet can: it is anycast, for its routers (RFC 4291, 2.6.1).
    """
    if gateway.is_multicast or gateway.is_unspecified or gateway.is_loopback or gateway == _BROADCAST:
        return f"{gateway} cannot be a gateway"
    if isinstance(gateway, IPv6Address) and gateway.ipv4_mapped:
        return f"{gateway} is an IPv4 address: --gateway4 {gateway.ipv4_mapped}"
    if any(gateway == a.interface.ip for d in machine.adapters for a in d.addresses):
        return f"{gateway} is this machine's own address, not a gateway"
    for network in (a.interface.network for a in adapter.addresses):
        ends = (network.network_address, network.broadcast_address)
        # Two addresses are both hosts (RFC 3021).
        if network.version == 4 and network.prefixlen < 31 and gateway in ends:
            kind = "network" if gateway == ends[0] else "broadcast"
            return f"{gateway} is the {kind} address of {network}, not a gateway"
    other = _lies_behind(machine, adapter, gateway)
    return other and f"{gateway} lies behind {other}, not behind {adapter.name}"


def _main_leads_there(machine: Machine, adapter: Adapter, gateway: IPAddress) -> bool:
    """Whether a default of main goes by this gateway of an adapter."""
    defaults = (e for e in machine.main if e.destination == Family.of(gateway).everything)
    return any((h.ifindex, h.gateway) == (adapter.ifindex, gateway) for e in defaults for h in e.hops)


def on_link(machine: Machine, adapter: Adapter, gateway: IPAddress) -> bool:
    """Whether the machine knows by itself that a gateway is on the link of an adapter."""
    return (
        (gateway.version == 6 and gateway.is_link_local)
        or _main_leads_there(machine, adapter, gateway)
        or any(gateway in a.interface.network for a in adapter.addresses)
        or any(
            h.ifindex == adapter.ifindex and h.gateway is None
            for e in machine.main
            if e.destination.prefixlen and e.family is Family.of(gateway) and gateway in e.destination
            for h in e.hops
        )
    )


def _lies_behind(machine: Machine, adapter: Adapter, gateway: IPAddress) -> str | None:
    """The other adapter that main sends a gateway's own packets to; None where the gateway may be onlink.

    IPv6 refuses a gateway that a subnet or prefix of another adapter covers (net/ipv6/route.c,
    ip6_route_check_nh_onlink).
    """
    if gateway.is_link_local or _main_leads_there(machine, adapter, gateway):
        return None
    covering = [
        e
        for e in machine.main
        if e.destination.prefixlen and e.hops and e.family is Family.of(gateway) and gateway in e.destination
    ]
    longest = max((e.destination.prefixlen for e in covering), default=0)
    hops = [h for e in covering if e.destination.prefixlen == longest for h in e.hops]
    others = {a.ifindex: a for a in machine.adapters if a != adapter}
    if not hops or any(h.ifindex not in others for h in hops):
        return None
    other = others[hops[0].ifindex]
    if gateway.version == 4 and (other.tunnel or hops[0].gateway is not None):
        return None
    return other.name
