"""The slice of a route, for unit files and systemd-run."""

from __future__ import annotations

import os
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from procroute.core.asking import options_of
from procroute.core.unit_names import slice_of
from procroute.core.unit_texts import Wrapping
from procroute.engine.request import Request, asked_for, with_routes
from procroute.errors import ProcrouteError
from procroute.identity import SLICE, Identity
from procroute.kernel import records
from procroute.kernel.linux import Linux


class Slice(Struct, frozen=True):
    """A slice's name, and whether it is routed now: a route for it lives."""

    name: str
    routed: bool


def slice_for(identity: Identity, request: Request) -> Slice:
    """The slice of the route that a request means. Its command is not looked at.

    Only root can read what a target is (xattr(7), trusted); others take a slice that is there for routed.
    Raises ProcrouteError adapter-unknown or gateway-bad.
    """
    with Linux(identity) as linux:
        route = asked_for(linux.adapters_and_main(), request)
        name = slice_of(route.name)
        if os.geteuid() != 0:
            return Slice(name, (linux.mount / SLICE / name).exists())
        there = (
            t for t in records.targets(linux.mount, linux.namespace) if t.live.route == route and t.in_use
        )
        target = next(there, None)
        return Slice(target.path.name if target else name, target is not None)


def wrapping_for(
    identity: Identity, request: Request, *, stop: bool, routes: Iterable[str] = ()
) -> tuple[Wrapping, list[str]]:
    """What a unit is wrapped with, to take the route that a request means; and lines for people.

    stop: it ends with its adapter; routes: names of the configuration's. Its adapters may not be there.
    Raises ProcrouteError gateway-bad, usage.
    """
    notes = []
    with Linux(identity) as linux:
        machine = linux.adapters_and_main()
    try:
        route = asked_for(machine, request)
    except ProcrouteError as e:
        if e.code != "adapter-unknown":
            raise
        route = asked_for(machine, replace(request, absent=True))
        told = with_routes(e, request.adapter, routes)
        hint = f" ({told.hint})" if told.hint else ""
        meanwhile = "does not start" if stop else "runs, and nothing of it leaves"
        notes = [f"{e.message} now{hint}: until it comes the unit {meanwhile}"]
    if stop and route.chooses:
        raise ProcrouteError(
            "usage", f"{route.name} goes on by another adapter where one goes", "leave out --on-down stop"
        )
    return Wrapping(route.name, options_of(route), stop=stop), notes
