"""Routes as somebody asks for them."""

from __future__ import annotations

from msgspec.structs import asdict

from procroute.model import HOLD, Route
from procroute.protocol import Options, Wanted


def options_of(route: Route) -> Options:
    """By what one asks for a route."""
    return Options(
        ",".join(route.adapters),
        route.strict,
        None if route.gateway4 is None else str(route.gateway4),
        None if route.gateway6 is None else str(route.gateway6),
        None if route.dns is None else [str(server) for server in route.dns],
        None if route.on_down is None else route.on_down.value,
        "reset" if route.reset else None,
        None if route.hold == HOLD else route.hold,
        route.inbound,
    )


def wanted(route: Route) -> Wanted:
    """The same, as a request has it."""
    return Wanted(**asdict(options_of(route)))
