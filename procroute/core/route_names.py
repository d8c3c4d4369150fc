"""What people call a route: the name that the configuration has for it, else its own (Route.name)."""

from __future__ import annotations

from collections.abc import Mapping

from procroute.model import Route


def named(route: Route, routes: Mapping[str, Route]) -> str:
    """The name of a route in a configuration, the first where it has several; empty: it has none.

    routes: those of the configuration. One that names an adapter by its further names is not known again.
    """
    return next((name for name, meant in routes.items() if meant == route), "")


def called(route: Route, routes: Mapping[str, Route]) -> str:
    """What people call it."""
    return named(route, routes) or route.name
