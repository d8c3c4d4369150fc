"""The processes that somebody speaks of: found, and checked before they are touched."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from procroute.core.access import Peer, check_process
from procroute.engine.words import describe
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups
from procroute.kernel.process_facts import Facts, facts, named, namespace_of, why_not
from procroute.terminal import printable


def checked(peer: Peer, pids: Iterable[int]) -> list[Facts]:
    """What the kernel says of processes, each of which may be moved by whoever asks.

    They have to be in our network namespace. Raises ProcrouteError process-unknown, process-unfit,
    not-permitted, other-namespace.
    """
    found = []
    for pid in pids:
        known = facts(pid)
        if known is None:
            raise ProcrouteError(
                "process-unknown", f"there is no process {pid}", "ps(1) lists them; it may have ended"
            )
        check(peer, known)
        found.append(known)
    return found


def shown(peer: Peer, pid: int) -> Facts:
    """What the kernel says of a process that is looked at, by its owner or root.

    Raises what `checked` does.
    """
    known = facts(pid)
    if known is None:
        raise ProcrouteError("process-unknown", *why_not(pid))
    _check_of_program(known)
    check_process(peer, pid, known.uids)
    _check_namespace(known)
    return known


def of_name(peer: Peer, name: str) -> list[int]:
    """The processes of a name that somebody may move. Raises ProcrouteError process-unknown, with why."""
    found, why = [], f"there is no process {printable(name)}"
    hint = "--name is as ps(1) shows it, or the program's file name"
    for pid in sorted(named(name)):
        known = facts(pid)
        if known is None or pid in (os.getpid(), peer.pid):
            continue
        try:
            check(peer, known)
        except ProcrouteError as e:
            why, hint = f"no process {printable(name)} can be moved for you: {e.message}", e.hint
        else:
            found.append(pid)
    if not found:
        raise ProcrouteError("process-unknown", why, hint)
    return found


def of_unit(place: Path) -> list[int]:
    """The processes of the systemd unit that has this cgroup. Raises ProcrouteError unit-unknown."""
    pids = [pid for pid, _ in cgroups.processes(place) if pid]
    if not pids:
        hint = "systemctl status says what it does"
        raise ProcrouteError("unit-unknown", f"no process of a unit {printable(place.name)} runs", hint)
    return pids


def check(peer: Peer, known: Facts) -> None:
    """Whether a process may be moved by whoever asks: as `checked`, of what was looked at already."""
    pid = known.pid
    _check_of_program(known)
    check_process(peer, pid, known.uids)
    if pid in (1, os.getpid()):
        raise ProcrouteError(
            "process-unfit",
            f"{describe(pid)} cannot be moved",
            "pid 1 and procrouted itself stay where they are",
        )
    _check_namespace(known)


def _check_of_program(known: Facts) -> None:
    if known.of_kernel:
        raise ProcrouteError(
            "process-unfit", f"{printable(known.name)} (pid {known.pid}) is a thread of the kernel"
        )


def _check_namespace(known: Facts) -> None:
    if known.namespace != namespace_of("self"):
        raise ProcrouteError(
            "other-namespace",
            f"{describe(known.pid)} is in another network namespace,"
            " which has adapters and routes of its own",
            "containers are routed by where their bridge leads to; see ip-netns(8)",
        )
