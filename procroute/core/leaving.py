"""Which of a command's processes have left its route, and who of them did so first."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterable
from pathlib import PurePosixPath

from msgspec import Struct


class Member(Struct, frozen=True):
    """A living process of a command. began: in clock ticks since boot; cgroup: as /proc calls it."""

    pid: int
    began: int
    parent: int
    cgroup: str


def outside(members: Iterable[Member], assignment: str, routed: Callable[[str], bool]) -> list[Member]:
    """Those whose cgroup is neither the assignment, nor below it, nor otherwise a route's.

    routed: whether a cgroup is a target, or below one: of this route, or of one that a `run` in the command
    has chosen.
    """
    return [m for m in members if not within(m.cgroup, assignment) and not routed(m.cgroup)]


def leaders(left: Iterable[Member]) -> list[Member]:
    """Those that moved, or were moved: their parent is none of those that left."""
    found = list(left)
    pids = {m.pid for m in found}
    return [m for m in found if m.parent not in pids]


def within(cgroup: str, top: str) -> bool:
    """Whether a cgroup is this one or below it."""
    return PurePosixPath(cgroup).is_relative_to(top)


def report(left: Collection[Member], told: Collection[tuple[int, int]]) -> list[tuple[Member, int]]:
    """Whom to name, each with how many more left with it. told: (pid, began) of those named before.

    A leader's followers are those below it; where a process is born outside later, its leader was named.
    """
    parents = {m.pid: m.parent for m in left}
    firsts = {m.pid: m for m in leaders(left)}
    followers = dict.fromkeys(firsts, 0)
    for pid in parents:
        top = pid
        for _ in parents:  # a bound: what was read of one process after another may make a circle
            if top in firsts:
                break
            top = parents[top]
        if top in firsts and top != pid:
            followers[top] += 1
    return [(m, followers[m.pid]) for m in firsts.values() if (m.pid, m.began) not in told]


def remedy(cgroup: str, slice_name: str, *, of_user: bool) -> str:
    """What keeps on the route what left for this cgroup; of_user: the route's slice is of a user's manager.

    A login session is logind's, and pam_systemd(8) moves what opens one into it, wherever that was started.
    """
    if re.search(r"/session-[^/]*\.scope(/|$)", cgroup):
        return "without a login session it stays: procroute run --user NAME -- CMD"
    manager = " --user" if of_user else ""
    return f"what is started so stays: systemd-run{manager} --scope --slice={shlex.quote(slice_name)} CMD"
