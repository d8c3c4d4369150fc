"""Assignments as the daemon's log speaks of them."""

from __future__ import annotations

from pathlib import Path

from procroute.kernel import cgroups
from procroute.protocol import Assignment
from procroute.terminal import printable
from procroute.told import Told, told
from procroute.user_names import spoken


def about(assignment: Assignment) -> str:
    """Which one, whose, where."""
    return f"assignment {assignment.id} of {spoken(assignment.owner)} on {printable(assignment.route)}"


def told_of(assignment: Assignment, line: str) -> Told:
    """A line about one, as the journal keeps it."""
    return told(
        line,
        assignment=assignment.id,
        route=assignment.route,
        adapter=assignment.adapter,
        uid=assignment.owner,
        cgroup=assignment.cgroup,
        rule=assignment.rule,
    )


def program(path: Path, command: str) -> str:
    """What runs in a cgroup: no arguments, which are not for everybody who may read the log."""
    pids = [pid for pid, _ in cgroups.processes(path) if pid]
    name = printable(command.partition(" ")[0].rpartition("/")[2]) or "a process"
    more = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
    return f"{name} (pid {pids[0]}){more}" if pids else name
