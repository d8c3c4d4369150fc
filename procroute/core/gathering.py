"""Whose a process is that has lost its parent.

A process that forks and ends leaves its child to the nearest reaper (init, or a PR_SET_CHILD_SUBREAPER of
prctl(2)): nothing in the kernel says any more whose it was. Yet a child has its stack where its parent has
it, at a random place (randomize_va_space, sysctl/kernel.rst), until it executes something; and its process
group and session, until it makes one. So an orphan belongs to a tree

- when it has the stack of a process that the tree begins with and that is not its parent's: nobody else can;
- when it has come since the gathering began, in a cgroup where members were, and has the stack, the group or
  the session of a member, and nobody who is none has that, too.

What escapes is one that forks twice, makes a session and executes a program within the few milliseconds that
a gathering takes, of which no link was seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct


class Kin(Struct, frozen=True):
    """What tells where a process comes from (credentials(7)): PIDs of its parent, group and session.

    stack: where its stack begins (proc(5), startstack); 0: not told.
    """

    parent: int
    group: int
    session: int
    stack: int = 0


def own_stacks(given: Iterable[tuple[Kin, Kin | None]]) -> frozenset[int]:
    """The stacks that only these processes and their descendants can have.

    given: each with its parent, None where that cannot be seen from here. Not so of children of init: it may
    have adopted them, and with them others of the same parent.
    """
    return frozenset(
        kin.stack
        for kin, parent in given
        if kin.stack and kin.parent != 1 and (parent is None or parent.stack != kin.stack)
    )


def belonging(
    newcomers: Mapping[int, Kin],
    living: Collection[int],
    members: Mapping[int, Kin],
    reapers: Collection[int],
    bystanders: Iterable[Kin] = (),
) -> set[int]:
    """Those of the newcomers (by PID) that belong to the tree.

    living: those of its members that are alive. members: all that ever were; a number is not given again
    while a process group or a session has it. reapers: init, and the ancestors of those that it begins with.
    bystanders: who was in those cgroups at the beginning, lives and is no member.
    """
    others = list(bystanders)
    groups_of_others = {kin.group for kin in others}
    groups = {kin.group for kin in members.values()} - groups_of_others
    stacks = {kin.stack for kin in members.values()} - {kin.stack for kin in others} - {0}
    found: set[int] = set()
    left = dict(newcomers)
    while True:
        new = {
            pid
            for pid, kin in left.items()
            if kin.parent in living
            or kin.parent in found
            or (
                kin.parent in reapers
                and (kin.stack in stacks or kin.group in groups or kin.session in members)
            )
        }
        if not new:
            return found
        found |= new
        groups |= {left.pop(pid).group for pid in new} - groups_of_others


def alike(others: Iterable[Kin], members: Mapping[int, Kin]) -> bool:
    """Whether one of these may have been forked by a member, and may have children that are caught."""
    stacks = {kin.stack for kin in members.values()} - {0}
    return any(kin.stack in stacks for kin in others)
