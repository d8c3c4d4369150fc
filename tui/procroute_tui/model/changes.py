"""What a person changes: requests for chosen processes, and what undoes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from procroute import protocol
from procroute.protocol import Assignment, Wanted
from procroute_tui.model.machine import Machine


class Undo(Struct, frozen=True):
    """What takes a change back.

    title: what was done; requests: in this order; lost: what they cannot restore.
    """

    title: str
    requests: tuple[protocol.Assign | protocol.Release, ...]
    lost: str = ""


class Before(Struct, frozen=True):
    """Who was where, before a change: PIDs with the ticks at which they began, by their assignment."""

    bystanders: tuple[tuple[int, int], ...] = ()
    routed: tuple[tuple[Assignment, tuple[tuple[int, int], ...]], ...] = ()


def before(machine: Machine, pids: Iterable[int]) -> Before:
    """To be asked for before a change of these processes."""
    bystanders, routed = [], dict[int, list[tuple[int, int]]]()
    for pid in pids:
        process = machine.processes.get(pid)
        if process is None:
            continue
        if process.assignment in machine.assignments:
            routed.setdefault(process.assignment, []).append((pid, process.began))
        else:
            bystanders.append((pid, process.began))
    return Before(
        tuple(bystanders), tuple((machine.assignments[n], tuple(ones)) for n, ones in routed.items())
    )


def undo(machine: Machine, was: Before, reply: protocol.Assigned | protocol.Released) -> Undo:
    """What takes a change back, from the daemon's answer to it."""
    requests: list[protocol.Assign | protocol.Release] = []
    if isinstance(reply, protocol.Assigned):
        title = f"assign to {', '.join(sorted({a.called for a in reply.assignments}))}"
        if was.bystanders or not was.routed:
            requests.append(protocol.Release(ids=[a.id for a in reply.assignments]))
    else:
        title = f"release from {', '.join(sorted({a.called for a in reply.assignments}))}"
    lost = []
    for assignment, ones in was.routed:
        pids = living(machine, ones)
        if assignment.options is None:
            lost.append(f"{assignment.called}: its options are not for you to see")
        elif pids:
            wanted = msgspec.convert(assignment.options, Wanted, from_attributes=True)
            requests.append(protocol.Assign(route=wanted, pids=pids))
    return Undo(title, tuple(requests), "; ".join(lost))


def living(machine: Machine, ones: Iterable[tuple[int, int]]) -> list[int]:
    """Those that are still the same processes."""
    found = ((machine.processes.get(pid), began) for pid, began in ones)
    return [p.pid for p, began in found if p is not None and p.began == began]


def assignments_of(machine: Machine, pids: Iterable[int]) -> list[Assignment]:
    """Those that processes are in, each once."""
    numbers = dict.fromkeys(machine.processes[pid].assignment for pid in pids if pid in machine.processes)
    return [machine.assignments[n] for n in numbers if n in machine.assignments]


def named(machine: Machine, pids: Sequence[int]) -> str:
    """Processes in a few words: `curl (pid 4711)`, `3 processes`."""
    if len(pids) != 1:
        return f"{len(pids)} processes"
    process = machine.processes.get(pids[0])
    return f"{process.name} (pid {pids[0]})" if process is not None and process.name else f"pid {pids[0]}"
