"""Rules in the terminal application, in a terminal, with a real daemon, on the real kernel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, as_user, daemon
from tests.netns.ruled import FOLDER, PROGRAMS, done
from tests.netns.running import PROCROUTE, unchanged, until
from tests.netns.tmux import Tmux
from tests.netns.traffic import SERVER

WANDER = f"{PROGRAMS}/wander"
HERS = f"{FOLDER}/users/{ALICE}/90-added.toml"


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A machine with a program of its own, which says over and over by which router it leaves."""
    with Lab() as lab:
        file = lab.path(WANDER)
        file.parent.mkdir(parents=True)
        text = Path(__file__).with_name("traveller.py").read_text(encoding="utf-8")
        file.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        file.chmod(0o755)
        yield lab


def leaves_by(tmux: Tmux, window: str, router: str) -> None:
    """Wait until a program says so of both families. AssertionError, with what it says instead."""
    tmux.see(window, f": IPv4 {router}, IPv6 {router}")
    until(lambda: tmux.last(window).endswith(f": IPv4 {router}, IPv6 {router}"), 20)


@pytest.mark.promise("VIEW-24")
def test_a_user_makes_a_rule_of_a_program_of_hers_and_switches_it_off(lab: Lab) -> None:
    """R, Enter: its next start leaves by wan1; switched off, and the one after that as the first."""
    start = [*as_user(ALICE), WANDER, SERVER[4], SERVER[6]]
    with unchanged(lab), daemon(lab), Tmux(lab, 100, 30) as tmux:
        first = tmux.window(*start)
        tui = tmux.window(*as_user(ALICE), *PROCROUTE, "tui")
        leaves_by(tmux, first, "wan2")
        tmux.see(tui, "processes on a route", "wan1", "Assign")
        tmux.type(tui, "/", "wander", "Enter", "R")
        tmux.see(tui, "a rule of wander", f"[x] 1  exe      {WANDER}", HERS, 'via = "wan1"')
        tmux.see(tui, "matches nobody who runs now: scripts are known")
        tmux.type(tui, "c", "hers", "Enter")
        tmux.see(tui, f"added: 90-added.toml:3: exe {WANDER}: wan1")
        assert [one["comment"] for one in done(lab, "list", user=ALICE)["rules"]] == ["hers"]
        second = tmux.window(*start)
        leaves_by(tmux, second, "wan1")
        leaves_by(tmux, first, "wan2")
        tmux.type(tui, "b")
        tmux.see(tui, "1 rule · 1 process placed", "90-added.toml:3", f"exe {WANDER}", "held")
        tmux.type(tui, "e")
        tmux.see(tui, "switched off: 90-added.toml:3", "1 rule · 1 off")
        third = tmux.window(*start)
        leaves_by(tmux, third, "wan2")
        leaves_by(tmux, second, "wan1")
        done(lab, "enable", "90-added.toml:3", user=ALICE)  # by somebody else
        until(lambda: "1 off" not in tmux.screen(tui), 20)
        leaves_by(tmux, tmux.window(*start), "wan1")
        tmux.see(tui, "1 rule · 2 processes placed")
        tmux.type(tui, "p")
        tmux.see(tui, "filter “90-added.toml:3:”: 2", "wander")
        tmux.type(tui, "w")
        tmux.see(tui, "rules for wander", f"put there by {HERS}:3")
        tmux.type(tui, "w", "b", "x")
        tmux.see(tui, "taken out of its file")
        tmux.type(tui, "Enter")
        tmux.see(tui, "there are no rules")
        tmux.type(tui, "q")  # back to the processes
        tmux.see(tui, "Assign")
        tmux.type(tui, "q")
        tmux.see(tui, "ended with 0")
        lab.sh("rm -r /etc/procroute")


@pytest.mark.promise("VIEW-21")
def test_rules_are_applied_to_what_runs_and_what_is_wrong_is_shown(lab: Lab) -> None:
    with unchanged(lab), daemon(lab), Tmux(lab, 100, 30) as tmux:
        first = tmux.window(WANDER, SERVER[4], SERVER[6])
        tui = tmux.window(*PROCROUTE, "tui")
        leaves_by(tmux, first, "wan2")
        tmux.see(tui, "processes on a route", "wan1", "Assign")
        tmux.type(tui, "/", "wander", "Enter", "R")
        tmux.see(tui, "[x] 1  exe")
        tmux.type(tui, "1", "2")  # by its name, which those have who run
        tmux.see(tui, 'name = "wander"', "matches 1 of those who run now: wander")
        tmux.type(tui, "Enter")
        tmux.see(tui, "apply rules to what runs already")
        tmux.type(tui, "Enter")
        leaves_by(tmux, first, "wan1")
        tmux.see(tui, "1 process is on a rule's route now")
        tmux.type(tui, "b")
        tmux.see(tui, "1 rule · 1 process placed", "news")
        bad = lab.path(FOLDER) / "95-bad.toml"
        bad.write_text('[[rule]]\nexee = "/x"\nvia = "wan1"\n')
        tmux.see(
            tui, "! the files cannot be used", "95-bad.toml:2:", "exee is unknown", "the rules of before hold"
        )
        tmux.type(tui, "e")
        tmux.see(tui, "mend that first")
        bad.unlink()
        until(lambda: "cannot be used" not in tmux.screen(tui), 20)
        tmux.type(tui, "q")  # back to the processes
        tmux.see(tui, "Assign")
        tmux.type(tui, "q")
        tmux.see(tui, "ended with 0")
        lab.sh("rm -r /etc/procroute")
