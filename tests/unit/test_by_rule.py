"""What is told of processes that rules have placed, against stand-ins for what the daemon knows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from procroute.core.access import Peer
from procroute.daemon import by_rule
from procroute.daemon.by_rule import ByRule
from procroute.kernel import cgroups
from procroute.model import LiveRoute, Route
from procroute.protocol import Assignment

_ROOT, _ADA = Peer(0, 1, "root"), Peer(1000, 2, "ada")


def _assignment(number: int, how: Any, owner: int, rule: str = "", route: str = "wan1") -> Assignment:
    return Assignment(number, route, "wan1", how, owner, 0, f"/{number}", rule=rule)


@pytest.mark.promise("DNS-10")
def test_rules_whose_look_ups_do_not_follow_are_told_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [
        _assignment(1, "rule", 0, "/r/1.toml:1"),
        _assignment(2, "rule", 1000, "/r/2.toml:1"),
        _assignment(3, "rule", 1000, "/r/2.toml:1"),
        _assignment(4, "assign", 1000),
        _assignment(5, "rule", 1000, "/r/3.toml:1"),
        _assignment(6, "rule", 1000, "/r/4.toml:1", "left~alone"),
    ]
    routes = [
        SimpleNamespace(live=LiveRoute(Route("wan1"), 1), path=Path("/t")),
        SimpleNamespace(live=LiveRoute(Route("left", dns=()), 2), path=Path("/u")),
    ]
    register = SimpleNamespace(known=lambda: known, path=Path)
    nothing: Any = None
    its: Any = SimpleNamespace(all=lambda: routes)
    knows: Any = register
    asks = {1: "nscd", 2: "", 3: "systemd-resolved", 4: "nscd", 5: "", 6: "nscd"}
    monkeypatch.setattr(by_rule, "asked_by", lambda pid, _: asks[pid])
    monkeypatch.setattr(cgroups, "processes", lambda path: [(int(path.name), 0)])
    told = ByRule(nothing, its, knows, nothing, nothing, print)
    first, second = told.not_followed(_ROOT)
    assert first.startswith("/r/1.toml:1: look-ups are not followed: nscd asks")
    assert "procroute run" in first
    assert second.startswith("/r/2.toml:1: look-ups are not followed: systemd-resolved")
    assert told.not_followed(_ADA) == [second]
