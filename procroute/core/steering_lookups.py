"""Look-ups of a route without BPF, in nft's words: sent on to the route's servers, or refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from procroute.core.nft_blocks import HEADERS, among, either
from procroute.core.ruleset import Steered
from procroute.model import IPAddress

_HERE: Final = {4: "127.0.0.0/8", 6: "::1"}
_LOOKUP: Final = "meta l4proto { tcp, udp } th dport 53"


def refused(route: Steered) -> Iterable[str]:
    """Look-ups that would be answered past the route: by a resolver of this machine, or for want of one.

    To a given server on this machine they go.
    """
    door = route.door
    if not door.follows_lookups:
        return
    for version in (4, 6):
        ip = HEADERS[version]
        kept = [str(s) for s in door.dns_servers if s.version == version and s.is_loopback]
        if kept:
            yield f"{_LOOKUP} {ip} daddr {{ {', '.join(kept)} }} goto marked_{route.number}"
        yield from _reject(f"{ip} daddr {among(version, not_asked(route, version))}")
    own = f"oif != {either(door.adapters)} " if door.adapters else ""
    linked = sorted({str(r).partition("%")[0] for r in door.resolvers if r.version == 6 and r.is_link_local})
    if linked:
        yield from _reject(f"{own}ip6 daddr {{ {', '.join(linked)} }}")


def not_asked(route: Steered, version: int) -> list[str]:
    """This machine, and the resolvers in whose place there is no server."""
    given = any(s.version == version for s in route.door.dns_servers)
    return [_HERE[version], *(str(r) for r in _resolvers(route, version) if not given)]


def _reject(what: str) -> Iterable[str]:
    """Datagrams are refused with EPERM at once, connections by a reset."""
    yield f"meta l4proto tcp th dport 53 {what} reject with tcp reset"
    yield f"meta l4proto udp th dport 53 {what} reject"


def sent_on(route: Steered) -> Iterable[str]:
    """The first resolver's go to the first server, the second's to the second …"""
    for version in (4, 6):
        servers = [s for s in route.door.dns_servers if s.version == version and not s.is_loopback]
        for place, resolver in enumerate(_resolvers(route, version)):
            if servers:
                ip, server = HEADERS[version], servers[place % len(servers)]
                yield f"{ip} daddr {resolver} dnat {ip} to {server}"


def _resolvers(route: Steered, version: int) -> list[IPAddress]:
    door = route.door
    found = (r for r in door.resolvers if r.version == version and r not in door.dns_servers)
    return [r for r in found if not r.is_loopback and not r.is_link_local]
