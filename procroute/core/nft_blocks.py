"""The parts of an nft table, as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from procroute.core.ruleset import Counter

_ALL = 0xFFFF_FFFF


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


def intervals(name: str, kind: str, ranges: Iterable[str]) -> Block:
    """A set of ranges of a type; they may touch and overlap."""
    elements = ", ".join(ranges)
    return Block(f"set {name}", (f"type {kind}", "flags interval", "auto-merge", *_elements(elements)))


def settled(what: str, mask: int, mark: int) -> str:
    """The statement that puts our bits into a mark (`meta mark`, `ct mark`) and leaves all others."""
    return f"{what} set {what} and {~mask & _ALL:#x} or {mark:#x}"


def _elements(elements: str) -> tuple[str, ...]:
    return (f"elements = {{ {elements} }}",) if elements else ()
