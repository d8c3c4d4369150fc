"""Machines, entries and rules from words as ip(8) has them, for tests to read easily.

    wan1 = adapter("wan1", 2, "198.51.100.2/24", "2001:db8:1::2/64")
    machine(wan1, main=["0.0.0.0/0 via 198.51.100.1 dev wan1 metric 100"], rules=["0: from all lookup 255"])

Both families are told by the addresses; a rule without any stands in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from procroute.core.gateways import SCOPE_LINK
from procroute.core.machine import Machine
from procroute.core.tables import IPV6_METRIC
from procroute.model import Adapter, Address, Entry, Family, Hop, IPAddress, IPNetwork, Rule

MAIN = 254
# Protocols of rtnetlink(7): what the kernel made of an address, and what somebody configured.
_KERNEL, _BOOT = 2, 3
# The kernel's own entries for the subnets of addresses (net/ipv6/addrconf.c).
_CONNECTED_METRIC6 = 256


def adapter(
    name: str,
    ifindex: int,
    *addresses: str,
    up: bool = True,
    carrier: bool = True,
    tunnel: bool = False,
    loopback: bool = False,
    altnames: Sequence[str] = (),
    kind: str = "",
) -> Adapter:
    """An adapter. Addresses with `tentative` behind them, and link-local ones, are not usable."""
    found = [_address(words) for words in addresses]
    return Adapter(name, ifindex, up, carrier, tunnel, loopback, tuple(found), tuple(altnames), kind)


def _address(words: str) -> Address:
    interface = ip_interface(words.split(maxsplit=1)[0])
    return Address(interface, usable=not interface.is_link_local and "tentative" not in words)


def machine(
    *adapters: Adapter, main: Iterable[str] = (), rules: Iterable[str] = (), **settings: Any
) -> Machine:
    """A machine; the entries for the subnets of its addresses are in main by themselves."""
    indexes = {a.ifindex: a for a in adapters}
    names = {a.name: a.ifindex for a in adapters}
    connected = [e for a in indexes.values() if a.up and not a.loopback for e in _connected(a)]
    entries = [*connected, *(entry(words, names) for words in main)]
    return Machine(
        adapters=adapters,
        main=tuple(dict.fromkeys(entries)),
        rules=tuple(r for words in rules for r in rule(words)),
        **settings,
    )


def _connected(of: Adapter) -> Iterator[Entry]:
    for network, ip in {a.interface.network: a.interface.ip for a in reversed(of.addresses)}.items():
        if network.prefixlen == network.max_prefixlen:
            continue
        hop = (Hop(of.ifindex),)
        if network.version == 4:
            yield Entry(MAIN, network, hop, scope=SCOPE_LINK, source=ip, protocol=_KERNEL)
        else:
            yield Entry(MAIN, network, hop, metric=_CONNECTED_METRIC6, protocol=_KERNEL)


def neighbour(words: str, names: dict[str, int]) -> tuple[int, IPAddress]:
    """`198.51.100.1 dev wan1` as (ifindex, address)."""
    address, _, name = words.split()
    return names[name], ip_address(address)


def entry(words: str, names: dict[str, int], table: int = MAIN) -> Entry:
    """`unreachable 10.0.0.0/8`, `0.0.0.0/0 via A dev wan1 metric 100 mtu 1400 src B`, `… nexthop via …`;
    `::/0 from PREFIX via …`."""
    kind, rest = "unicast", words.split()
    if not re.match(r"[0-9a-f]*[.:]", rest[0]):
        kind = rest.pop(0)
    destination = ip_network(rest.pop(0))
    head, *nexthops = " ".join(rest).split("nexthop ")
    said = _pairs(head)
    hops = [_hop(_pairs(h), names) for h in nexthops] or ([_hop(said, names)] if "dev" in said else [])
    least = IPV6_METRIC if destination.version == 6 else 0
    direct = kind == "unicast" and destination.version == 4 and all(h.gateway is None for h in hops)
    return Entry(
        table=int(said.get("table", table)),
        destination=destination,
        hops=tuple(hops),
        kind=kind,
        scope=SCOPE_LINK if direct else 0,
        source=ip_address(said["src"]) if "src" in said else None,
        metric=int(said.get("metric", least)),
        metrics=tuple((k, int(said[k])) for k in ("mtu", "advmss") if k in said),
        protocol=int(said.get("proto", _BOOT)),
        only_from=ip_network(said["from"]) if "from" in said else None,
    )


def _pairs(words: str) -> dict[str, str]:
    spoken = words.replace("onlink", "onlink yes").split()
    return dict(zip(spoken[::2], spoken[1::2], strict=True))


def _hop(said: dict[str, str], names: dict[str, int]) -> Hop:
    gateway = ip_address(said["via"]) if "via" in said else None
    return Hop(names[said["dev"]], gateway, "onlink" in said, int(said.get("weight", 1)))


_RULE = re.compile(
    r"(?P<pref>\d+): (?P<inverted>not )?from (?P<src>\S+)( to (?P<dst>\S+))?( fwmark (?P<mark>\S+))?"
    r"( ipproto udp sport (?P<port>\d+))?(?P<selective>( iif \S+| uidrange \S+| l3mdev)*)"
    r" (?P<action>lookup|goto|unreachable|nop)"
    r"( (?P<target>\d+))?( proto (?P<proto>\d+))?"
)


def rule(words: str, family: Family | None = None) -> list[Rule]:
    """`32764: not from all fwmark 0xca6c lookup 51820`, once for each family that it can be of."""
    found = _RULE.fullmatch(words)
    assert found is not None, words
    source, destination = _network(found["src"]), _network(found["dst"])
    mark, _, mask = (found["mark"] or "0/0").partition("/")
    of = [family] if family else [Family.of(n) for n in (source, destination) if n][:1] or list(Family)
    return [
        Rule(
            family=one,
            preference=int(found["pref"]),
            action="table" if found["action"] == "lookup" else found["action"],
            target=int(found["target"] or 0),
            mark=int(mark, 0),
            mask=int(mask, 0) if mask else 0xFFFF_FFFF,
            inverted=bool(found["inverted"]),
            source=source,
            destination=destination,
            selective=bool(found["selective"]),
            protocol=int(found["proto"] or 0),
            udp_port=int(found["port"] or 0),
        )
        for one in of
    ]


def _network(word: str | None) -> IPNetwork | None:
    return None if word in (None, "all") else ip_network(word)
