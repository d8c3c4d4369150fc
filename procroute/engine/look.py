"""What there is, for people to look at; nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from procroute.config import Settings
from procroute.core.limits import limits
from procroute.core.overview import AdapterView, adapters
from procroute.core.ruleset import Counter
from procroute.core.status import Assignment, Counted, Status, status
from procroute.engine import kept
from procroute.engine.carried import carried
from procroute.errors import ProcrouteError
from procroute.holder import link
from procroute.kernel import (
    cgroups,
    health_file,
    in_place,
    left,
    moves,
    netns,
    nft,
    processes,
    programs,
    records,
)
from procroute.kernel.bpf import support
from procroute.kernel.linux import Linux
from procroute.model import Marks

_LOOKS: Final = 10
_T = TypeVar("_T")


def adapter_views(settings: Settings) -> list[AdapterView]:
    """Every adapter but loopback. Who uses it is told to root only: a cgroup says it to nobody else.

    Raises ProcrouteError.
    """
    with Linux(settings.identity) as linux:
        linux.tell(given=settings.given_servers)
        if os.geteuid() == 0:
            observed = steadily(linux.observe)
            machine, routes = observed.machine, observed.alive()
        else:
            machine, routes = linux.adapters_and_main(), ()
    machine, servers = kept.everything(machine)
    return adapters(machine, routes, servers, health_file.read(), settings.tunnels)


def routes_view(settings: Settings) -> Status:
    """Each route, what runs on it and what it has carried; what cannot be promised here.

    Raises ProcrouteError, not-root for all but root: cgroups and programs tell nobody else.
    """
    if os.geteuid() != 0:
        hint = "sudo procroute status; procroute ps tells everybody what the daemon has assigned"
        raise ProcrouteError("not-root", "status must be asked for by root", hint)
    identity = settings.identity
    with Linux(identity) as linux:
        machine = steadily(linux.observe).machine
        counted = steadily(lambda: _every_target(linux))
        everybodys = records.targets(linux.mount, linux.namespace)
        others = sum(t.identity != identity for t in everybodys)
        by_packets = any(c.live.marks is Marks.PACKETS for c in counted) or not support.available(linux.mount)
        helpers_closed = programs.can_close_helpers(str(linux.mount))
    known = limits(
        machine,
        netns_cookie=bool(netns.cookie()),
        by_packets=by_packets,
        moves_told=not by_packets or moves.can_be_heard(),
        leavers_told=left.can_be_heard(),
        helpers_closed=helpers_closed,
        holder=link.lives(),
    )
    return status(identity, machine, counted, known, others, settings.route)


def steadily(look: Callable[[], _T]) -> _T:
    """What a look tells. Without the lock programs may go meanwhile, with their route: it is taken again.

    Raises ProcrouteError bpf-refused where that does not help.
    """
    for _ in range(_LOOKS - 1):
        try:
            return look()
        except ProcrouteError as e:
            if e.code != "bpf-refused":
                raise
    return look()


def _every_target(linux: Linux) -> list[Counted]:
    """The routes' own, then the further ones. What nft counts is of a route: told with its own."""
    found = nft.counters()
    everybodys = records.targets(linux.mount, linux.namespace)
    counted = [_counted(linux, t, found) for t in everybodys if t.identity == linux.identity]
    return counted + [_counted(linux, t, {}) for t in linux.further_targets()]


def _counted(linux: Linux, target: records.Target, counters: Mapping[str, Counter]) -> Counted:
    of: dict[str, list[int]] = {}
    whole = in_place.is_in_place(target.path)
    for pid, path in cgroups.processes(target.path):
        of.setdefault(
            "" if whole or path == target.path else path.relative_to(target.path).parts[0], []
        ).append(pid)
    assignments = [
        Assignment(
            name or (target.path.name if whole else ""),
            f"/{(target.path / name).relative_to(linux.mount)}",
            tuple(processes.process(pid) for pid in sorted(pids)),
        )
        for name, pids in sorted(of.items())
    ]
    traffic, drops = carried(target, counters)
    lost = counters.get(f"lost_{target.live.number}")
    return Counted(
        target.live, target.in_use, tuple(assignments), traffic, drops, None if lost is None else lost.packets
    )
