"""Which ports the kernel chooses by itself in this network namespace (ip-sysctl)."""

from __future__ import annotations

from pathlib import Path

from procroute.core.moving import Ports

_IPV4 = Path("/proc/sys/net/ipv4")


def chosen_by_the_kernel() -> Ports:
    """For both families; the usual ones where it does not say."""
    try:
        first, last = map(int, (_IPV4 / "ip_local_port_range").read_text().split())
        reserved = (_IPV4 / "ip_local_reserved_ports").read_text().strip()
    except (OSError, ValueError):
        return Ports()
    return Ports(first, last, frozenset(p for part in reserved.split(",") if part for p in _range(part)))


def _range(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)
