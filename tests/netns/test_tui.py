"""The terminal application in a terminal, with a real daemon, on the real kernel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, as_user, daemon
from tests.netns.running import ENVIRONMENT, PROCROUTE, unchanged, until
from tests.netns.tmux import Tmux
from tests.netns.traffic import SERVER

TRAVELLER = [sys.executable, str(Path(__file__).with_name("traveller.py")), SERVER[4], SERVER[6]]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.mark.promise("VIEW-13", "VIEW-04", "VIEW-08")
def test_a_user_moves_a_program_of_hers_with_two_keys(lab: Lab) -> None:
    """a, Enter: its next connections leave by wan1; released, undone, and with the daemon gone meanwhile."""
    with unchanged(lab), Tmux(lab, 100, 30) as tmux:
        with daemon(lab):
            traveller = tmux.window(*as_user(ALICE), *TRAVELLER)
            tui = tmux.window(*as_user(ALICE), *PROCROUTE, "tui")
            until(lambda: tmux.last(traveller).endswith(": IPv4 wan2, IPv6 wan2"), 20)
            pid = tmux.last(traveller).partition(":")[0]
            tmux.see(tui, "processes on a route", "wan1", "Assign")
            tmux.type(tui, "/")
            tmux.see(tui, "filter: name")
            tmux.type(tui, *pid, "Enter")
            tmux.see(tui, f"filter “{pid}”")
            tmux.type(tui, "a")
            tmux.see(tui, f"(pid {pid}) is to leave by", "wan2")
            tmux.type(tui, "Enter")
            until(lambda: tmux.last(traveller) == f"{pid}: IPv4 wan1, IPv6 wan1", 20)
            tmux.see(tui, "is on wan1", "1 of")
            tmux.type(tui, "r")
            tmux.see(tui, "go back to the machine's own way")
            tmux.type(tui, "Enter")
            until(lambda: tmux.last(traveller) == f"{pid}: IPv4 wan2, IPv6 wan2", 20)
            tmux.type(tui, "u")
            until(lambda: tmux.last(traveller) == f"{pid}: IPv4 wan1, IPv6 wan1", 20)
            tmux.type(tui, "u")
            until(lambda: tmux.last(traveller) == f"{pid}: IPv4 wan2, IPv6 wan2", 20)
        tmux.see(tui, "trying again", "what was last known")
        with daemon(lab):
            until(lambda: "trying again" not in tmux.screen(tui), 20)
            tmux.see(tui, "0 of")
            tmux.type(tui, "q")
            tmux.see(tui, "ended with 0")


@pytest.mark.promise("VIEW-12")
def test_root_gets_a_daemon_for_as_long_as_it_looks(lab: Lab) -> None:
    with unchanged(lab), Tmux(lab, 100, 30) as tmux:
        tui = tmux.window(*PROCROUTE, "tui")
        tmux.see(tui, "processes on a route", "wan1")
        assert lab.run([*PROCROUTE, "ps"], env=ENVIRONMENT).stdout == "nothing is assigned\n"
        tmux.type(tui, "o", "q")
        tmux.see(tui, "ended with 0")
        assert "no procrouted runs" in lab.run([*PROCROUTE, "ps"], env=ENVIRONMENT).stderr
        assert "routed = true" in lab.sh(f"cat {tmux.HOME}/.config/procroute/tui.toml")


@pytest.mark.promise("VIEW-12")
def test_users_are_told_what_helps(lab: Lab) -> None:
    done = lab.run([*as_user(ALICE), *PROCROUTE, "tui", "--screenshot", "/x.svg"], env=ENVIRONMENT)
    assert done.returncode == 125
    assert "sudo procroute tui" in done.stderr
