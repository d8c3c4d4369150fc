"""Applications that a user's manager has started are routed, and end with her session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.systemd_box import ADA, SystemdBox
from tests.netns.inhabitants import Inhabitant
from tests.netns.running import ours, until
from tests.netns.traffic import FAMILIES, astray
from tests.systemd.daemons import ADAS_MANAGER, AS_ADA, Daemon, started
from tests.systemd.test_in_place import noted
from tests.systemd.test_placement import came_back
from tests.systemd.unit_rules import rules

pytestmark = pytest.mark.promise("SERVICE-11")
APPS = f"{ADAS_MANAGER}/app.slice"
NOTES = "app-org.example.Notes"
PLAYER = "app-org.example.Player"
KINDS = {
    "service": ("--user", "--pipe", "--wait", "--collect", "--slice=app.slice", "--unit={}.service"),
    "scope": ("--user", "--scope", "--collect", "--slice=app.slice", "--unit={}-1234.scope"),
}
"""How desktops start applications (systemd.io/DESKTOP_ENVIRONMENTS)."""
ENDS = {
    "logout": ["loginctl", "terminate-user", "ada"],
    "manager": ["systemctl", "stop", f"user@{ADA}.service"],
}


@pytest.fixture
def session(running: Daemon) -> Iterator[Daemon]:
    """Her manager runs, and does so again afterwards."""
    box = running.box
    yield running
    until(lambda: came_back(box), what="her manager")


def goes_by(box: SystemdBox, who: Inhabitant, adapter: str) -> None:
    for family in FAMILIES:
        for way in ("tcp", "udp", "unconnected"):
            assert not astray(box, who, way, family, box.uplinks[adapter])


def routes_left(box: SystemdBox) -> list[str]:
    """What is ours while a daemon serves that routes nobody, but for its own folder."""
    slices = [path for path in box.ask("cgroups") if "procroute-" in path or "/procroute.slice" in path]
    return [*({*ours(box)} - {"files"}), *slices, *noted(box)]


def unit_options(kind: str, name: str) -> list[str]:
    return [word.format(name) for word in KINDS[kind]]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["assign", "rule"])
def test_an_application_is_routed_and_ends_with_the_session(
    session: Daemon, by: str, kind: str, end: str
) -> None:
    """It follows where it is; one beside it is none of it."""
    box = session.box
    if by == "rule":
        rules(session, '[[rule]]\napp = "org.example.Notes"\nvia = "wan1"\n')
    with (
        started(box, *unit_options(kind, NOTES), before=AS_ADA) as notes,
        started(box, *unit_options(kind, PLAYER), before=AS_ADA) as player,
    ):
        pid = notes.ask("hello").pid
        if by == "assign":
            assert "in place" in session.ask("assign", str(pid), "--via", "wan1")
        until(lambda: [p["pid"] for one in session.ps() for p in one["processes"]] == [pid], what="its place")
        assert notes.ask("hello").cgroup.startswith(f"{APPS}/{NOTES}")
        goes_by(box, notes, "wan1")
        goes_by(box, player, "wan2")

        box.run(ENDS[end], check=True)
        for one in (notes, player):
            one.process.wait(20)
        until(lambda: not session.ps(), what="the end of the assignment")
    assert f"user@{ADA}.service" not in str(box.ask("cgroups"))
    rules(session, "")  # the route of a rule stays ready while the rule stands
    until(lambda: not routes_left(box), what="the end of what is ours")
