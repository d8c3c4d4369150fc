"""Assignments as the daemon's log speaks of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from procroute.core.unit_names import unit_of
from procroute.kernel import cgroups, user_managers
from procroute.protocol import Assignment
from procroute.terminal import printable
from procroute.told import INFO, Told, told
from procroute.user_names import spoken


def about(assignment: Assignment) -> str:
    """Which one, whose, where."""
    return f"assignment {assignment.id} of {spoken(assignment.owner)} on {printable(assignment.called)}"


def told_of(assignment: Assignment, line: str, level: int = INFO, *, pid: int | None = None) -> Told:
    """A line about one, as the journal keeps it. pid: of the process that it is about."""
    of_user = user_managers.owner(Path(assignment.cgroup)) is not None
    unit = unit_of(assignment.cgroup)
    return told(
        line,
        level,
        assignment=assignment.id,
        pid=pid,
        unit="" if of_user else unit,
        user_unit=unit if of_user else "",
        route=assignment.route,
        adapter=assignment.adapter,
        uid=assignment.owner,
        cgroup=assignment.cgroup,
        rule=assignment.rule,
    )


def pids_in(path: Path) -> list[int]:
    """Those in a cgroup that can be seen from here."""
    return [pid for pid, _ in cgroups.processes(path) if pid]


def program(pids: Sequence[int], command: str) -> str:
    """What runs in a cgroup: no arguments, which are not for everybody who may read the log."""
    name = printable(command.partition(" ")[0].rpartition("/")[2]) or "a process"
    more = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
    return f"{name} (pid {pids[0]}){more}" if pids else name
