"""What somebody probably meant who named an adapter that is not there."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address
from typing import Final

from procroute.core.gateways import WayOut, way_out
from procroute.core.machine import Machine
from procroute.core.nearest import nearest
from procroute.core.tables import families
from procroute.errors import ProcrouteError
from procroute.model import Adapter, Family, IPAddress
from procroute.terminal import printable

_LISTED: Final = 8
"""So many adapters without a way out are named: container hosts have hundreds."""


def error(machine: Machine, name: str) -> ProcrouteError:
    """The error adapter-unknown: its hint has the nearest name, or what an address was meant for, and the
    adapters that there are, ways out first."""
    said = f"there is no adapter {printable(name)}"
    meant = _meant(machine, name)
    with contextlib.suppress(ValueError):
        address, _, scope = name.partition("%")
        meant = _holder(machine, ip_address(address), scope)
        said = f"{printable(name)} is an address; --via takes the name of an adapter"
    able = [a for a in machine.outward() if any(_has_way(machine, a, f) for f in families(machine))]
    unable = [a.name for a in machine.outward() if a not in able]
    listed = [", ".join(a.name for a in able)] if able else []
    if unable:
        more = f" and {len(unable) - _LISTED} more" if len(unable) > _LISTED else ""
        listed.append(f"without a way out now: {', '.join(unable[:_LISTED])}{more}")
    hint = f"did you mean {meant}? " if meant else ""
    return ProcrouteError("adapter-unknown", said, f"{hint}adapters here: {'; '.join(listed) or 'none'}")


def _meant(machine: Machine, name: str) -> str:
    """The names that are nearest. ip(8) writes a veth or VLAN with its other end: wan1@if2."""
    plain = name.partition("@")[0]
    if machine.adapter(plain) is not None:
        return plain
    return " or ".join(nearest(plain, (n for a in machine.outward() for n in (a.name, *a.altnames)), 0.5))


def _has_way(machine: Machine, adapter: Adapter, family: Family) -> bool:
    return isinstance(way_out(machine, adapter, family, None), WayOut)


def _holder(machine: Machine, address: IPAddress, scope: str) -> str:
    """The options that were probably meant by an address: the adapter that has it, or that it is a way of."""
    for adapter in machine.outward():
        if any(address == a.interface.ip for a in adapter.addresses):
            return f"--via {adapter.name}"
    for adapter in machine.outward():
        networks = [a.interface.network for a in adapter.addresses if not a.interface.is_link_local]
        if scope in (adapter.name, *adapter.altnames) or any(address in network for network in networks):
            return f"--via {adapter.name} --gateway{address.version} {address}"
    return ""
