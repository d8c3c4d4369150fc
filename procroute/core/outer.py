"""Tunnels whose outer packets take a route: the route rules that this means, and what cannot be."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET
from msgspec.structs import replace

from procroute.model import Adapter
from procroute.rulebook.reading import rule_of
from procroute.rulebook.route_rule import RouteRule, Rulebook, Via
from procroute.rulebook.shape import WrittenRule
from procroute.tunnels import Tunnel
from procroute.written.document import Wrong
from procroute.written.finding import Finding


def with_tunnels(book: Rulebook, tunnels: Iterable[Tunnel]) -> Rulebook:
    """A rulebook in which first comes that whoever speaks for a tunnel takes its route, from his start on.

    Nothing for tunnels that do not say who that is. What is wrong with one is a finding, and no error.
    """
    rules: list[RouteRule] = []
    findings: list[Finding] = []
    for each in tunnels:
        if not (each.unit or each.exe):
            continue
        rule = rule_of(
            WrittenRule(
                unit=list(each.unit) or UNSET,
                exe=list(each.exe) or UNSET,
                via=each.over,
                existing="reset",
                comment=f"the outer packets of {each.name}",
            )
        )
        if isinstance(rule, Wrong):
            findings.append(Finding(each.file, each.line, False, f"over_{rule.message}", rule.hint))
        else:
            rules.append(replace(rule, via=Via(each.over), file=each.file, line=each.line, nth=len(rules)))
    return Rulebook((*rules, *book.rules), (*book.findings, *findings))


def label(name: str) -> str:
    """What put a tunnel's process on its route, as people are told."""
    return f"[adapter.{name}] over"


def is_label(text: str) -> bool:
    """Whether that is such a thing."""
    return text.startswith("[adapter.") and text.endswith("] over")


def unfit(adapter: Adapter, members: Iterable[Adapter], over: str) -> str:
    """Why the outer packets of an adapter cannot take a way by these adapters; empty: they can."""
    if adapter in members:
        return f"{adapter.name} over {over}: that is {adapter.name} itself"
    if adapter.kind not in ("tun", "wireguard"):
        what = adapter.kind or "no tunnel"
        return f"{adapter.name} is {what}: over is for tun devices and WireGuard"
    return ""
