"""The parts of an nft table, as text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from procroute.core.ruleset import Counter

HEADERS: Final = {4: "ip", 6: "ip6"}
"""By IP version: what nft calls its header."""
_ALL = 0xFFFF_FFFF
_TYPES = {4: "ipv4_addr", 6: "ipv6_addr"}


class Block(Struct, frozen=True):
    """A chain, set, map or counter: its head, and its lines. rules: how many of these are rules."""

    head: str
    lines: tuple[str, ...] = ()
    rules: int = 0

    def text(self) -> str:
        """As it stands in a table."""
        return "\n".join([f"  {self.head} {{", *(f"    {line}" for line in self.lines), "  }", ""])


def chain(name: str, *rules: str, hook: str = "") -> Block:
    """hook: the line that ties it to one; none for a chain that others go to."""
    head = (f"{hook}; policy accept;",) if hook else ()
    return Block(f"chain {name}", (*head, *rules), len(rules))


def counter(name: str, at: Counter) -> Block:
    """A counter that others name, and goes on from there."""
    return Block(f"counter {name}", (f"packets {at.packets} bytes {at.bytes}",))


def mapping(name: str, verdicts: Mapping[str, str]) -> Block:
    """A map from cgroups to verdicts."""
    elements = ", ".join(f'"{path}" : {verdict}' for path, verdict in verdicts.items())
    return Block(f"map {name}", ("type cgroupsv2 : verdict", *_elements(elements)))


def addresses(version: int, elements: Sequence[str]) -> Block:
    """The set that `among` names, of addresses and ranges of an IP version; they may touch and overlap."""
    lines = (f"type {_TYPES[version]}", "flags interval", "auto-merge", *_elements(", ".join(elements)))
    return Block(f"set {_set_name(version, elements)}", lines)


def among(version: int, elements: Sequence[str]) -> str:
    """What an address is compared with: one of these, or the set of them."""
    return elements[0] if len(elements) == 1 else f"@{_set_name(version, elements)}"


def either(ifindexes: Iterable[int]) -> str:
    """What an ifindex is compared with: one, or several."""
    names = [*map(str, sorted(ifindexes))]
    return names[0] if len(names) == 1 else f"{{ {', '.join(names)} }}"


def settled(what: str, mask: int, mark: int) -> str:
    """The statement that puts our bits into a mark (`meta mark`, `ct mark`) and leaves all others."""
    return f"{what} set {what} and {~mask & _ALL:#x} or {mark:#x}"


def _elements(elements: str) -> tuple[str, ...]:
    return (f"elements = {{ {elements} }}",) if elements else ()


def _set_name(version: int, elements: Sequence[str]) -> str:
    """The same for the same: to make a set takes the kernel as long as to make five rules."""
    return f"of{version}_{hashlib.sha256(' '.join(elements).encode()).hexdigest()[:16]}"
