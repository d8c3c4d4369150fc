"""Name servers: those of the system and those that an adapter brought along."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address
from pathlib import Path

from procroute.model import IPAddress

RESOLV_CONF = Path("/etc/resolv.conf")
# systemd-resolved keeps the real servers here when /etc/resolv.conf names its stub (systemd-
# resolved.service(8)).
_UPLINKS = Path("/run/systemd/resolve/resolv.conf")
# Where networkd and resolved keep what DHCP, router advertisements or NetworkManager said of one link.
_PER_LINK = (("/run/systemd/netif/links", "DNS="), ("/run/systemd/resolve/netif", "SERVERS="))


def of_system() -> tuple[IPAddress, ...]:
    """The configured name servers, in order; glibc's default is this machine itself (resolv.conf(5))."""
    found: dict[IPAddress, None] = {}
    for file in (RESOLV_CONF, _UPLINKS):
        for line in _lines(file):
            words = line.split()
            if len(words) >= 2 and words[0] == "nameserver":
                found.update(dict.fromkeys(_addresses(words[1:2])))
    return tuple(found) or (ip_address("127.0.0.1"),)


def of_adapter(ifindex: int) -> tuple[IPAddress, ...]:
    """The name servers known for one adapter; none when nobody keeps them."""
    for folder, key in _PER_LINK:
        for line in _lines(Path(folder) / str(ifindex)):
            if line.startswith(key):
                found = _addresses(line.removeprefix(key).split())
                if found:
                    return tuple(found)
    return ()


def other_lines() -> list[str]:
    """What resolv.conf says beside its servers: search, options."""
    return [line for line in _lines(RESOLV_CONF) if line.split()[:1] not in ([], ["nameserver"])]


def _addresses(words: list[str]) -> list[IPAddress]:
    """The addresses among words; those with a port of their own are none that a look-up of ours could ask."""
    found = []
    for word in words:
        # resolved and networkd write 192.0.2.1:53%2#name, [2001:db8::1]:53%2#name or the address alone
        plain = word.split("#")[0].split("%")[0]
        address, port = plain, ""
        if plain.startswith("["):
            address, _, port = plain[1:].partition("]")
        elif plain.count(":") == 1:
            address, _, port = plain.partition(":")
        if port.removeprefix(":") in ("", "53"):
            with contextlib.suppress(ValueError):
                found.append(ip_address(address))
    return found


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines() if file.is_file() else []
    except OSError:
        return []
