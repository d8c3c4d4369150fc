"""Commands that are launched from the terminal application, in a terminal, with a real daemon."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, as_user, daemon, for_users
from tests.netns.running import ENVIRONMENT, PROCROUTE, ROOT, unchanged, until
from tests.netns.tmux import Tmux
from tests.netns.traffic import TRAVELLER

_CATCHES = "sh -c 'trap \"echo caught it; exit 7\" INT; echo handles; sleep 1000'"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.mark.promise("VIEW-15")
def test_a_command_that_is_launched_here_has_the_terminal_until_it_ends(lab: Lab) -> None:
    with unchanged(lab), daemon(lab), Tmux(lab, 100, 30) as tmux:
        tui = tmux.window(*PROCROUTE, "tui")
        tmux.see(tui, "processes on a route", "wan1")
        tmux.type(tui, "l", "cat", "C-t", "Enter")
        until(lambda: "Assign" not in tmux.screen(tui), 20)
        tmux.type(tui, "said", "Enter")
        tmux.see(tui, "said\nsaid")
        (found,) = json.loads(lab.run([*PROCROUTE, "ps", "--json"], env=ENVIRONMENT).stdout)["assignments"]
        assert (found["route"], found["command"]) == ("wan1", "cat")
        tmux.type(tui, "C-d")
        tmux.see(tui, "cat has ended with 0: Enter leads back", "said")
        tmux.type(tui, "Enter")
        tmux.see(tui, "Assign", "0 of", "cat has ended with 0")
        tmux.type(tui, "l", _CATCHES, "C-t", "Enter")
        until(lambda: "Assign" not in tmux.screen(tui) and "handles" in tmux.screen(tui), 20)
        tmux.type(tui, "C-c")
        tmux.see(tui, "caught it", "has ended with 7: Enter")
        tmux.type(tui, "Enter")
        tmux.see(tui, "Assign")
        tmux.type(tui, "l", "sleep 1000", "C-t", "Enter")
        until(lambda: runs(lab, "sleep 1000"), 20)
        tmux.type(tui, "C-c")
        tmux.see(tui, "has ended with 130: Enter")
        tmux.type(tui, "Enter", "q")
        tmux.see(tui, "ended with 0")


@pytest.mark.promise("VIEW-15", "VIEW-13")
def test_what_a_user_launches_leaves_by_the_chosen_adapter(lab: Lab) -> None:
    """Here by wan1 and, with the arrow, by wan2; and in the background, its output in a file."""
    with unchanged(lab), daemon(lab), for_users(lab) as python, Tmux(lab, 100, 30) as tmux:
        lab.sh(f"install -d -o {ALICE} {tmux.HOME}")
        packages = [path for path in sys.path if path.endswith("site-packages")]
        env = f"PYTHONPATH={':'.join([str(ROOT), f'{ROOT}/tui', *packages])}"
        tui = tmux.window("env", env, *as_user(ALICE), python, "-m", "procroute", "tui")
        traveller = shlex.join([python, *TRAVELLER[1:]])
        tmux.see(tui, "processes on a route", "wan1", "wan2")
        for arrows, adapter in ([], "wan1"), (["Down"], "wan2"):
            tmux.type(tui, "l", traveller, *arrows, "C-t", "Enter")
            tmux.see(tui, f": IPv4 {adapter}, IPv6 {adapter}")
            tmux.type(tui, "C-c")
            tmux.see(tui, "130: Enter leads back")
            tmux.type(tui, "Enter")
            tmux.see(tui, "Assign", "0 of")
        tmux.type(tui, "l", traveller, "Down", "Enter")
        tmux.see(tui, "its output:", "1 of")
        output = f"cat {tmux.HOME}/.local/state/procroute/python*.log"
        until(lambda: lab.sh(output).endswith(": IPv4 wan2, IPv6 wan2\n"), 20)
        lab.sh(f"kill {lab.sh(output).split(':')[0]}")
        tmux.see(tui, "0 of")
        tmux.type(tui, "q")
        tmux.see(tui, "ended with 0")


@pytest.mark.promise("VIEW-15")
def test_what_is_typed_meanwhile_harms_nothing(lab: Lab) -> None:
    """With the launching key: it is for nobody. While a command runs that reads nothing: for the end."""
    with unchanged(lab), daemon(lab), Tmux(lab, 80, 24) as tmux:
        tui = tmux.window(*PROCROUTE, "tui")
        tmux.see(tui, "processes on a route", "wan1")
        tmux.type(tui, "l", "cat", "C-t", "Enter", "tq", "Enter", "q")
        until(lambda: "Assign" not in tmux.screen(tui) and runs(lab, "cat"), 20)
        tmux.type(tui, "read this", "Enter", "C-d")
        tmux.see(tui, "read this\nread this", "cat has ended with 0: Enter leads back")
        tmux.type(tui, "Enter")
        tmux.see(tui, "Assign", "· list ·", "0 of")
        tmux.type(tui, "l", "sleep 2", "C-t", "Enter")
        until(lambda: "Assign" not in tmux.screen(tui) and runs(lab, "sleep 2"), 20)
        tmux.type(tui, "Enter", "t")
        tmux.see(tui, "sleep 2 has ended with 0", "Assign", "· tree ·")
        tmux.type(tui, "q")
        tmux.see(tui, "ended with 0")


@pytest.mark.promise("VIEW-15")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param("stty raw -echo", id="no lines and no echo"),
        pytest.param("bash -ic 'kill -9 $$'", id="another process group in the foreground"),
    ],
)
def test_a_command_that_leaves_the_terminal_in_disorder(lab: Lab, command: str) -> None:
    with unchanged(lab), daemon(lab), Tmux(lab, 80, 24) as tmux:
        tui = tmux.window(*PROCROUTE, "tui")
        tmux.see(tui, "processes on a route", "wan1")
        tmux.type(tui, "l", command, "C-t", "Enter")
        tmux.see(tui, ": Enter leads back")
        tmux.type(tui, "Enter")
        tmux.see(tui, "Assign", "has ended with")
        tmux.type(tui, "t")
        tmux.see(tui, "· tree ·")
        tmux.type(tui, "q")
        tmux.see(tui, "ended with 0")


def runs(lab: Lab, command: str) -> bool:
    """Whether it runs in the machine."""
    return bool(lab.sh(f"pgrep -f '^{command}$' || true").strip())
