"""Our nft table: arriving packets get the mark of the socket that they are for.

Needed where the reverse path is checked with the packet's mark: rp_filter 1, rp_filter 2 with no default in
main, and firewalls that look themselves (firewalld's IPv6_rpfilter). No conntrack, no NAT.
"""

from __future__ import annotations

import ctypes
import errno
import json
import re
from typing import Any

from msgspec import Struct

from procroute.core.machine import Restore
from procroute.errors import ProcrouteError
from procroute.identity import NFT_TABLE
from procroute.kernel import nf_tables
from procroute.kernel.refusal import refused

_SAFE_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,15}")


def read(mask: int) -> Restore | None:
    """What the table in the kernel restores; None when it is not there or not whole."""
    if not nf_tables.has_table(NFT_TABLE):
        return None
    listed = json.loads(_run(f"list table inet {NFT_TABLE}", as_json=True))["nftables"]
    sets = {o["set"]["name"]: o["set"].get("elem", []) for o in listed if "set" in o}
    rules = [o["rule"] for o in listed if "rule" in o]
    marks = frozenset(int(m) for m in sets.get("marks", []))
    adapters = frozenset(_name(a) for a in sets.get("adapters", []))
    whole = len(rules) == sum(len(chain.rules) for chain in _chains(mask, marks))
    return Restore(adapters, marks if whole else frozenset())


def write(restore: Restore | None, mask: int) -> None:
    """Replace the table in one transaction, or remove it."""
    fresh = f"table inet {NFT_TABLE}\ndelete table inet {NFT_TABLE}\n"
    if restore is None:
        if nf_tables.has_table(NFT_TABLE):
            _run(fresh)
        return
    for name in restore.adapters:
        if not _SAFE_NAME.fullmatch(name):
            raise ProcrouteError("adapter-unfit", f"the adapter name {name!r} cannot stand in an nft rule")
    names = ", ".join(f'"{a}"' for a in sorted(restore.adapters))
    marks = ", ".join(f"{m:#x}" for m in sorted(restore.marks))
    parts = [
        _block("set adapters", ["type ifname", f"elements = {{ {names} }}"]),
        _block("set marks", ["type mark", f"elements = {{ {marks} }}"]),
        *_sets_of_pings(mask, restore.marks),
        *(_block(f"chain {c.name}", [*c.hook, *c.rules]) for c in _chains(mask, restore.marks)),
    ]
    _run(f"{fresh}table inet {NFT_TABLE} {{\n{''.join(parts)}}}\n")


def _block(head: str, lines: list[str]) -> str:
    return "\n".join([f"  {head} {{", *(f"    {line}" for line in lines), "  }", ""])


class _Chain(Struct, frozen=True):
    """hook: the lines that tie it to a hook; none for one that others go to."""

    name: str
    hook: tuple[str, ...]
    rules: tuple[str, ...]


def _chains(mask: int, marks: frozenset[int]) -> list[_Chain]:
    """nft cannot join two marks, so other people's bits are kept value by value.

    No socket can be found for an answer to a ping, so what routed commands ping is noted when it leaves.
    """
    others = ~mask & 0xFFFF_FFFF
    number_mask = mask & (mask - 1)
    numbers = sorted({m & number_mask for m in marks})
    policy = "policy accept"
    return [
        _Chain(
            "note_pings",
            ("type filter hook output priority mangle", policy),
            (
                f"meta mark and {mask:#x} == 0x0 accept",
                *(
                    f"meta mark and {number_mask:#x} == {n:#x} {kind} type echo-request "
                    f"update @{_pings(family, n)} {{ oif . {ip} daddr . {kind} id }}"
                    for n in numbers
                    for family, ip, kind in _PINGS
                ),
            ),
        ),
        _Chain(
            "restore_pings",
            (),
            tuple(
                f"{kind} type echo-reply iif . {ip} saddr . {kind} id @{_pings(family, n)} "
                f"meta mark set mark and {others:#x} or {n:#x} accept"
                for n in numbers
                for family, ip, kind in _PINGS
            ),
        ),
        _Chain(
            "restore_mark",
            ("type filter hook prerouting priority mangle", policy),
            (
                "iifname != @adapters accept",
                f"meta mark 0x0 socket mark and {mask:#x} != 0x0 meta mark set socket mark accept",
                *(
                    f"meta mark and {mask:#x} == 0x0 socket mark and {mask:#x} == {m:#x} "
                    f"meta mark set mark and {others:#x} or {m:#x} accept"
                    for m in sorted(marks)
                ),
                *(f"{kind} type echo-reply goto restore_pings" for _, _, kind in _PINGS),
            ),
        ),
    ]


_PINGS = ((4, "ip", "icmp"), (6, "ip6", "icmpv6"))
"""Family, and what nft calls its header and its ICMP."""


def _pings(family: int, number: int) -> str:
    return f"pings{family}_{number:x}"


def _sets_of_pings(mask: int, marks: frozenset[int]) -> list[str]:
    """By adapter, address and identifier, so that nobody else's pings are taken for a routed command's.

    One set a route: nft 1.0.6 stores wrong keys in a map from IPv6 addresses to marks.
    """
    lines = ["size 4096", "flags dynamic, timeout", "timeout 1m"]
    return [
        _block(f"set {_pings(family, n)}", [f"typeof oif . {ip} daddr . {kind} id", *lines])
        for n in sorted({m & mask & (mask - 1) for m in marks})
        for family, ip, kind in _PINGS
    ]


def _run(script: str, *, as_json: bool = False) -> str:
    try:
        from nftables import Nftables  # costs 6 ms, and only some machines need it

        ctypes.CDLL("libnftables.so.1")  # the binding complains aloud when it is not there
        nft = Nftables()
    except (ImportError, OSError) as e:
        raise ProcrouteError(
            "library-missing", f"libnftables cannot be loaded: {e}", "install libnftables1 and pip-nftables"
        ) from e
    nft.set_json_output(as_json)
    status, output, error = nft.cmd(script)
    if status:
        number = errno.ENOENT if "No such file" in error else errno.EINVAL
        first_line = error.strip().partition("\n")[0]
        raise refused(number, "nft", f"load the nft table: {first_line}")
    return str(output)


def _name(element: Any) -> str:
    return str(element["elem"]["val"] if isinstance(element, dict) else element)
