"""Names that processes chose, in a terminal: from prctl(2) over the daemon to the screen."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Final

import pytest
from rich.cells import cell_len

from procroute.lab import Lab
from procroute.lab.commands import Process
from tests.netns.daemons import daemon
from tests.netns.running import PROCROUTE, until
from tests.netns.tmux import Tmux

NAMED: Final = str(Path(__file__).with_name("named.py"))
NAMES: Final = {
    "newline and tab": b"a\nb\tc\rd",
    "escape sequences": b"x\x1b[2J\x1b]0;t\x07",
    "C1 controls": "x\x9b2J\x90".encode(),
    "no UTF-8": b"n\xff\xfe\xc3\x28o",
    "cut within a letter": "a日本語日本".encode(),  # the kernel keeps 15 bytes
    "wide": "日本語".encode(),
    "right to left": "a\u202eb\u2066c".encode(),
    "Hebrew": "שלום".encode(),
    "zero width": "a\u200bb\ufeffc".encode(),
    "combining": b"e\xcc\x81e\xcc\x81",
    "markup": b"[red]x[/]",
    "spaces": b"  a  b ",
    "empty": b"",
}


@pytest.mark.promise("VIEW-07")
def test_names_of_processes_leave_the_screen_as_it_should_be() -> None:
    """Each has one row, whose columns are where the heading has them."""
    with Lab() as lab, daemon(lab), contextlib.ExitStack() as people, Tmux(lab, 100, 40) as tmux:
        processes = {}
        for kind, name in NAMES.items():
            process = processes[kind] = lab.popen([sys.executable, NAMED, name.hex()])
            people.callback(process.wait, 10)
            people.callback(process.kill_session)
        until(lambda: all(_name(processes[kind]) == name[:15] for kind, name in NAMES.items()), 20)
        pids = {kind: _pid_inside(process) for kind, process in processes.items()}
        tui = tmux.window(*PROCROUTE, "tui")
        tmux.see(tui, "processes on a route", "Assign", *(f" {pid} " for pid in pids.values()))
        lines = tmux.screen(tui).splitlines()
        assert len(lines) == 40
        assert not set("\x1b\x9b\u202e\u2066\u200b\ufeff\x07").intersection("".join(lines))
        heading = next(line for line in lines if " PID NAME" in line)
        assert sum(line.startswith(" procroute  ") for line in lines) == 1
        user = heading.index("USER")
        for kind, pid in pids.items():
            (row,) = (line for line in lines if f" {pid} " in line[:12])
            before = row.partition("root")[0]
            assert cell_len(before) == user, (kind, row)
        tmux.type(tui, "q")
        tmux.see(tui, "ended with 0")


def _name(process: Process) -> bytes:
    """As the kernel has it (proc(5), comm)."""
    return Path(f"/proc/{process.command_pid()}/comm").read_bytes().removesuffix(b"\n")


def _pid_inside(process: Process) -> int:
    """As the lab's machine counts (proc(5), NSpid)."""
    status = Path(f"/proc/{process.command_pid()}/status").read_text(errors="replace")
    (line,) = (line for line in status.splitlines() if line.startswith("NSpid:"))
    return int(line.split()[-1])
