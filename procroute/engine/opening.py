"""Make a route ready for processes: decide what it is, bring the kernel to it, find the cgroup to enter."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from procroute.config import Settings
from procroute.core import overlap
from procroute.core.machine import Observed
from procroute.engine.marking import marks_here
from procroute.engine.reconcile import Routes, reconcile
from procroute.engine.request import Request, route_for, with_routes
from procroute.engine.user import User
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, records
from procroute.kernel.bpf import support
from procroute.kernel.linux import Linux
from procroute.model import LiveRoute, Marks


def decide(linux: Linux, request: Request, settings: Settings) -> tuple[Observed, LiveRoute, list[str]]:
    """What is there, the route to use or to make, and lines for people. Nothing is changed yet.

    Under the lock. Raises ProcrouteError where the request cannot be met.
    """
    overlap.check_identities(linux.identity, records.identities(linux.mount, linux.namespace))
    observed = linux.observe()
    marks = marks_here(linux.cgroup_mount, packet_marks=settings.packet_marks)
    try:
        live, notes = route_for(linux, observed, request, marks)
    except ProcrouteError as e:
        raise with_routes(e, request.adapter, settings.route) from None
    if live.marks is Marks.PACKETS and not support.switched_off():
        notes.append(
            "without cgroup BPF nft marks packets: procroute status lists what cannot be promised so"
        )
    return observed, live, notes


def open_route(linux: Linux, observed: Observed, live: LiveRoute) -> tuple[Observed, Routes]:
    """Have a route in the kernel, beside those that are in use; what is there then, and what should be.

    Under the lock. Raises ProcrouteError.
    """
    for path in linux.placement.leftovers(linux.namespace):
        if not cgroups.populated(path):
            linux.placement.remove(path)

    def routes(now: Observed) -> Collection[LiveRoute]:
        return [*(t for t in now.alive() if t.number != live.number), live]

    return reconcile(linux, linux.identity, routes, observed), routes


def target_for(
    linux: Linux, now: Observed, live: LiveRoute, user: User | None, routes: Routes, tell: Tell
) -> Path:
    """Where processes go: into their user's own tree where he has one, so that they stay his.

    Not so on a strict route: he could move them elsewhere in his tree. Under the lock. Raises ProcrouteError.
    """
    if user is not None and user.uid != 0 and not live.route.strict:
        own = linux.path_for(live.number, user.uid, now.ours.doors.get(live.number))
        if own is not None:
            if live.marks is not Marks.SOCKETS:
                reconcile(linux, linux.identity, routes)
            return own
        if linux.placement.by_systemd:
            tell(f"no manager of {user.name} runs: the command is none of that user's session")
    return linux.path(live.number)
