"""The name servers of the system. (Those that an adapter brought along: name_servers.py.)

A routed command has a resolv.conf of its own (see mounts.py). What it stands for is kept in it, so that a run
inside a run still knows the system's:

    # by procroute, for wan1; the system's own:
    #   nameserver 127.0.0.53
    #   search example.org
    #>  nameserver 203.0.113.53
    nameserver 198.51.100.53
    search example.org
"""

from __future__ import annotations

import contextlib
from ipaddress import ip_address
from pathlib import Path

from procroute import places
from procroute.model import IPAddress, LiveRoute

RESOLV_CONF = Path(places.RESOLV_CONF)
_OURS, _KEPT, _KEPT_UPLINKS = "# by procroute", "#   ", "#>  "
# systemd-resolved keeps the real servers here when /etc/resolv.conf names its stub (systemd-
# resolved.service(8)).
_UPLINKS = Path("/run/systemd/resolve/resolv.conf")
FILES = (RESOLV_CONF, _UPLINKS)
"""Those that name the system's servers."""


def of_system() -> tuple[IPAddress, ...]:
    """The configured name servers, in order. Where there is none glibc asks this machine."""
    found: dict[IPAddress, None] = {}
    for line in (*_system_lines(), *_uplink_lines()):
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            found.update(dict.fromkeys(addresses(words[1:2])))
    return tuple(found)


def private(live: LiveRoute) -> str | None:
    """The text of the resolv.conf for a route; None where the present one will do.

    A route whose look-ups are left to the system gets the system's, also where a run around us has put its
    own there. One that has none gets no server: libc then asks this machine (resolv.conf(5)), and is refused.
    """
    system = _system_lines()
    if not live.servers and not live.no_lookups:
        return "\n".join([*system, ""]) if _is_ours(lines_of(RESOLV_CONF)) else None
    kept = [f"{_KEPT}{line}" for line in system]
    kept += [f"{_KEPT_UPLINKS}{line}" for line in _uplink_lines() if line.startswith("nameserver")]
    own = [f"nameserver {server}" for server in live.servers]
    others = [line for line in system if line.split()[0] != "nameserver"]
    return "\n".join([f"{_OURS}, for {live.route.name}; the system's own:", *kept, *own, *others, ""])


def is_private_for(pid: int) -> bool:
    """Whether a process sees a resolv.conf of ours. One that has ended does not."""
    return _is_ours(lines_of(Path(f"/proc/{pid}/root{RESOLV_CONF}")))


def _system_lines() -> list[str]:
    """What the system's resolv.conf says, without comments."""
    lines = lines_of(RESOLV_CONF)
    if _is_ours(lines):
        return [line.removeprefix(_KEPT) for line in lines if line.startswith(_KEPT)]
    return [line for line in lines if line.strip() and line[0] not in "#;"]


def _uplink_lines() -> list[str]:
    """What resolved's file says."""
    lines = lines_of(_UPLINKS)
    if _is_ours(lines):
        return [line.removeprefix(_KEPT_UPLINKS) for line in lines if line.startswith(_KEPT_UPLINKS)]
    return lines


def _is_ours(lines: list[str]) -> bool:
    return bool(lines) and lines[0].startswith(_OURS)


def addresses(words: list[str]) -> list[IPAddress]:
    """The addresses among words; those with a port of their own are none that a look-up of ours could ask.

    Of zones those of link-local addresses are kept: without it one could be by any adapter.
    """
    found = []
    for word in words:
        # resolved and networkd write 192.0.2.1:53%2#name, [2001:db8::1]:53%2#name or the address alone
        plain, _, zone = word.split("#")[0].partition("%")
        address, port = plain, ""
        if plain.startswith("["):
            address, _, port = plain[1:].partition("]")
        elif plain.count(":") == 1:
            address, _, port = plain.partition(":")
        if port.removeprefix(":") in ("", "53"):
            with contextlib.suppress(ValueError):
                known = ip_address(address)
                found.append(ip_address(f"{known}%{zone}") if zone and known.is_link_local else known)
    return found


def lines_of(file: Path) -> list[str]:
    """The lines of a text; none where there is no such file or it may not be read."""
    try:
        return file.read_text(errors="replace").splitlines() if file.is_file() else []
    except OSError:
        return []
