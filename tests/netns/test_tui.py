"""The terminal application in a terminal, with a real daemon, on the real kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, as_user, daemon
from tests.netns.running import ENVIRONMENT, PROCROUTE, unchanged, until
from tests.netns.tmux import Tmux
from tests.netns.traffic import TRAVELLER

_ONCE = ("COLUMNS=80", "LINES=24")
"""As a program that uses readline(3) hands them down; the terminal has another size by then."""
_COLOUR = re.compile(r"\x1b\[(?:[014];)*(?:[349][1-6]|10[1-6]|[34]8;5;(\d+))m")
_EXACT = re.compile(r"\x1b\[(?:[\d;]*;)?[34]8;2;(\d+);(\d+);(\d+)m")
_GREYS = {0, 7, 8, 15, 16, 59, 102, 145, 188, 231, *range(232, 256)}
"""Of the 256 colours of terminals (xterm)."""


def coloured(text: str) -> bool:
    """Whether an escape sequence asks for a colour that is no grey."""
    exact = (set(map(int, found)) for found in _EXACT.findall(text))
    return any(max(rgb) - min(rgb) > 8 for rgb in exact) or any(
        not number or int(number) not in _GREYS for number in _COLOUR.findall(text)
    )


def see_drawn(tmux: Tmux, window: str, title: str, rows: int) -> None:
    """Wait until there is a column of this title, and the keys are in the last of so many rows."""

    def drawn() -> bool:
        lines = tmux.screen(window).splitlines()
        return any(f" {title}" in line for line in lines) and len(lines) == rows and "Quit" in lines[-1]

    until(drawn, 20, title)


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
            tmux.type(tui, "/", pid, "Enter", "a")  # all at once
            tmux.see(tui, f"(pid {pid}) is to leave by", "wan2", f"filter “{pid}”: 1")
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
        tmux.type(tui, "a")
        tmux.see(tui, "is to leave by")
        tmux.type(tui, "Enter")
        tmux.see(tui, "not done", "hint: ")
        with daemon(lab):
            until(lambda: "trying again" not in tmux.screen(tui), 20)
            tmux.see(tui, "0 of")
            tmux.type(tui, "q")
            tmux.see(tui, "ended with 0")


@pytest.mark.promise("VIEW-04")
@pytest.mark.parametrize("user", [0, ALICE])
def test_undo_restores_a_route_with_all_of_its_options(lab: Lab, user: int) -> None:
    """One whose name is a digest of them; let go, undone, and sent to another adapter and undone."""
    gateway = ["--gateway4", lab.wan1.wire.gateway4, "--dns", lab.wan1.wire.gateway4]
    with unchanged(lab), daemon(lab) as running, Tmux(lab, 100, 30) as tmux:
        traveller = tmux.window(*as_user(user), *TRAVELLER)
        until(lambda: "IPv4 wan2" in tmux.last(traveller), 20)
        pid = tmux.last(traveller).partition(":")[0]
        words = [*as_user(user), *PROCROUTE, "assign", pid, "--via", "wan1", *gateway]
        lab.run(words, env=ENVIRONMENT, check=True)
        (before,) = running.ps()
        assert re.fullmatch("wan1~[0-9a-f]{8}", before["route"])
        tui = tmux.window(*as_user(user), *PROCROUTE, "tui")
        tmux.see(tui, "1 of", before["route"])
        for keys, said in (["r"], "go back"), (["a"], "is to leave by"):
            tmux.type(tui, *keys)
            tmux.see(tui, said)
            tmux.type(tui, "Enter")
            until(lambda: tmux.last(traveller).startswith(f"{pid}: IPv4 wan2"), 20)
            tmux.type(tui, "u")
            until(lambda: tmux.last(traveller).startswith(f"{pid}: IPv4 wan1"), 20)
            (now,) = running.ps()
            assert now["route"] == before["route"]  # a digest of its options
            assert "cannot be restored" not in tmux.screen(tui)
        tmux.type(tui, "r")
        tmux.see(tui, "go back")
        tmux.type(tui, "Enter", "q")
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


@pytest.mark.promise("VIEW-16")
@pytest.mark.parametrize("kind", ["TERM=xterm", "TERM=vt100", "TERM=screen"])
def test_terminals_that_can_little_will_do(lab: Lab, kind: str) -> None:
    """As over ssh: what TERM says is all that is known; and its size changes."""
    with unchanged(lab), daemon(lab), Tmux(lab, 80, 24) as tmux:
        tui = tmux.window("env", "-u", "COLORTERM", "-u", "TERM_PROGRAM", kind, *_ONCE, *PROCROUTE, "tui")
        tmux.see(tui, "processes on a route", "wan1", "Assign", "OUT/s")
        assert "ADAPTER" not in tmux.screen(tui)
        for columns, rows, title in ((100, 24, "ADAPTER"), (120, 30, "DROPS"), (160, 48, "COMMAND")):
            tmux.resize(tui, columns, rows)
            see_drawn(tmux, tui, title, rows)
        tmux.resize(tui, 50, 24)
        until(lambda: "OUT/s" not in tmux.screen(tui), 20)
        tmux.resize(tui, 80, 24)
        until(lambda: "OUT/s" in tmux.screen(tui) and "Quit" in tmux.last(tui), 20)
        tmux.type(tui, "t", "Down", "a")
        tmux.see(tui, "tree", "is to leave by")
        tmux.resize(tui, 40, 12)
        tmux.see(tui, "Escape")
        tmux.resize(tui, 80, 24)
        tmux.see(tui, "is to leave by", "Quit")
        tmux.type(tui, "Escape")
        until(lambda: "is to leave by" not in tmux.screen(tui), 20)
        tmux.type(tui, "q")
        tmux.see(tui, "ended with 0")


@pytest.mark.promise("VIEW-16")
@pytest.mark.parametrize("kind", [(), ("NO_COLOR=1",)], ids=["colours", "NO_COLOR"])
def test_who_wants_no_colours_has_none(lab: Lab, kind: tuple[str, ...]) -> None:
    with unchanged(lab), daemon(lab), Tmux(lab, 120, 30) as tmux:
        tui = tmux.window("env", "-u", "NO_COLOR", "COLORTERM=truecolor", *kind, *PROCROUTE, "tui")
        tmux.see(tui, "processes on a route", "wan1", "Assign")
        assert coloured(tmux.screen(tui, escapes=True)) is not bool(kind)
        tmux.type(tui, "q")
        tmux.see(tui, "ended with 0")
