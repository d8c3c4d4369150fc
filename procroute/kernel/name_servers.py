"""The name servers that somebody keeps for an adapter, and who. Those of the first who has some are asked:

systemd-networkd   /run/systemd/netif/links/IFINDEX
systemd-resolved   /run/systemd/resolve/netif/IFINDEX
networkd lease     /run/systemd/netif/leases/IFINDEX: what DHCP said, also where the system shall not use it
NetworkManager     over D-Bus (network_manager.py)
resolvconf         /run/resolvconf/interface/ADAPTER.WHO; openresolv: interfaces, keys; wg-quick: tun.ADAPTER
dhcpcd             /run/dhcpcd/hook-state/resolv.conf/ADAPTER.WHO
DHCP lease         /var/lib/dhcp, /var/lib/dhclient: what dhclient noted (dhclient.leases(5))
wg-quick           /etc/wireguard/ADAPTER.conf, `DNS =` (wg-quick(8)), which root alone may read
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from procroute.core.overview import Servers
from procroute.kernel import network_manager
from procroute.kernel.resolvers import addresses, lines_of
from procroute.model import Adapter, IPAddress

_BY_SYSTEMD: Final = (
    ("/run/systemd/netif/links", "DNS=", "systemd-networkd"),
    ("/run/systemd/resolve/netif", "SERVERS=", "systemd-resolved"),
    ("/run/systemd/netif/leases", "DNS=", "networkd lease"),
)
_BY_RESOLV_CONF: Final = (
    ("/run/resolvconf/interface", "resolvconf"),
    ("/run/resolvconf/interfaces", "resolvconf"),
    ("/run/resolvconf/keys", "resolvconf"),
    ("/run/dhcpcd/hook-state/resolv.conf", "dhcpcd"),
)
_LEASES: Final = ("/var/lib/dhcp", "/var/lib/dhclient")
_WIREGUARD: Final = "/etc/wireguard"
FOLDERS: Final = tuple(
    Path(folder) for folder, *_ in (*_BY_SYSTEMD, *_BY_RESOLV_CONF, *((f,) for f in _LEASES))
)
"""Where all of this lies, but what NetworkManager and wg-quick have."""


def of_adapter(adapter: Adapter) -> Servers:
    """Those that are asked, and who keeps them; none where nobody does.

    NetworkManager is asked anew only when it has written that something is new.
    """
    return next(_each(adapter, network_manager.remembered), Servers())


def every(adapter: Adapter) -> tuple[Servers, ...]:
    """Everybody's who keeps some; the first are asked."""
    return tuple(_each(adapter, network_manager.known))


def _each(adapter: Adapter, managed: network_manager.Ask) -> Iterator[Servers]:
    found = chain(
        _by_systemd(adapter), _by_manager(adapter, managed), _by_resolv_conf(adapter), _others(adapter)
    )
    return (servers for servers in found if servers.addresses)


def _by_systemd(adapter: Adapter) -> Iterator[Servers]:
    for folder, key, keeper in _BY_SYSTEMD:
        for line in lines_of(Path(folder) / str(adapter.ifindex)):
            if line.startswith(key):
                yield Servers(tuple(addresses(line.removeprefix(key).split())), keeper)


def _by_manager(adapter: Adapter, managed: network_manager.Ask) -> Iterator[Servers]:
    found = managed().get(adapter.name)
    if found is not None:
        yield Servers(found.servers, network_manager.KEEPER)


def _by_resolv_conf(adapter: Adapter) -> Iterator[Servers]:
    """A file may be several programs': `wan1.dhclient`, `wan1.ra`. `wan1.5` is another adapter."""
    its = re.compile(rf"(tun[.])?{re.escape(adapter.name)}([.][a-z][a-z0-9_-]*)?")
    for folder, keeper in _BY_RESOLV_CONF:
        found: dict[IPAddress, None] = {}
        for file in _files(folder, "*"):
            if its.fullmatch(file.name):
                for line in lines_of(file):
                    key, *words = line.split() or [""]
                    found.update(dict.fromkeys(addresses(words[:1]) if key == "nameserver" else ()))
        yield Servers(tuple(found), keeper)


def _others(adapter: Adapter) -> Iterator[Servers]:
    leased: dict[IPAddress, None] = {}
    for folder in _LEASES:
        for file in _files(folder, "*lease*"):
            leased.update(dict.fromkeys(_leased("\n".join(lines_of(file)), adapter)))
    yield Servers(tuple(leased), "DHCP lease")
    if adapter.kind in ("wireguard", "tun"):  # the latter is a WireGuard in user space, too
        yield Servers(_of_wireguard(Path(_WIREGUARD, f"{adapter.name}.conf")), "wg-quick")


def _leased(text: str, adapter: Adapter) -> tuple[IPAddress, ...]:
    """What the last lease of an adapter says, where the adapter still has the address that came with it."""
    own = {address.interface.ip for address in adapter.addresses}
    found: tuple[IPAddress, ...] = ()
    for lease in re.split(r"^lease6? ", text, flags=re.MULTILINE)[1:]:
        if f'interface "{adapter.name}";' in lease:
            got = re.findall(r"^\s*(?:fixed-address|iaaddr) ([0-9A-Fa-f.:]+)", lease, re.MULTILINE)
            said = re.findall(
                r"^\s*option (?:domain-name-servers|dhcp6.name-servers) (.+);", lease, re.MULTILINE
            )
            holds = any(ip in own for ip in addresses(got))
            found = tuple(addresses(re.split(r"[,\s]+", " ".join(said)))) if holds else ()
    return found


def _of_wireguard(file: Path) -> tuple[IPAddress, ...]:
    """Addresses among what DNS says in [Interface]; the others are domains to search in."""
    found: list[IPAddress] = []
    section = ""
    for line in lines_of(file):
        key, _, value = line.partition("#")[0].partition("=")
        section = key.strip().lower() if key.startswith("[") else section
        if section == "[interface]" and key.strip().lower() == "dns":
            found += addresses(re.split(r"[,\s]+", value.strip()))
    return tuple(found)


def _files(folder: str, pattern: str) -> list[Path]:
    """In the order of their names; none where there is no such folder or it may not be read."""
    try:
        return sorted(file for file in Path(folder).glob(pattern) if file.is_file())
    except OSError:
        return []
