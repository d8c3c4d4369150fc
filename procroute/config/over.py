"""`over` of `[adapter.NAME]` tables: tunnels whose outer packets take a route. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from procroute import route_words
from procroute.config.adapter_checks import WrittenAdapter
from procroute.model import Route
from procroute.terminal import printable
from procroute.tunnels import Tunnel
from procroute.written.document import Wrong
from procroute.written.options import Maybe, words


def tunnel(name: str, written: WrittenAdapter) -> Tunnel | Wrong | None:
    """What is said of an adapter as a tunnel; None: nothing."""
    within = ("adapter", name)
    unit, exe = words(written.over_unit), words(written.over_exe)
    if isinstance(written.over, Maybe):
        for key, given in (("over_unit", unit), ("over_exe", exe)):
            if given:
                return Wrong((*within, key), "says whose, and not over what", 'give over = "ROUTE" too')
        return None
    for path in exe:
        if not path.startswith("/"):
            return Wrong((*within, "over_exe"), f"must be a path from /: {printable(path)}", "see type(1)")
    for text in unit:
        if "/" in text or not text.isprintable():
            return Wrong(
                (*within, "over_unit"),
                f"is no name of a unit: {printable(text)}",
                "systemctl list-units",
            )
    return Tunnel(name, written.over, unit, exe)


def wrong_ways(tunnels: Mapping[str, Tunnel], routes: Mapping[str, Route]) -> Wrong | None:
    """What is wrong with where tunnels lead: no way at all, or one that comes back to the tunnel itself.

    Alternative names of adapters (ip-link(8), altname) are not known here: core/outer.py looks at these.
    """
    for name, each in tunnels.items():
        key = ("adapter", name, "over")
        if each.over not in routes:
            try:
                route_words.adapters(each.over)
            except ValueError as e:
                return Wrong(key, f"cannot be so: {e}", "a [route.NAME], or an adapter")
        if circle := next(_back_to(name, each, tunnels, routes, (name,)), None):
            hint = f"name a way that does not go by {printable(name)}"
            return Wrong(key, f"leads back to itself: {printable(circle)}", hint)
    return None


def _back_to(
    first: str,
    at: Tunnel,
    tunnels: Mapping[str, Tunnel],
    routes: Mapping[str, Route],
    seen: tuple[str, ...],
    said: str = "",
) -> Iterator[str]:
    """Each way from a tunnel back to the first one, in words: `wg0 over vpn (wg1) over wg0`."""
    said = said or first
    for adapter in _adapters(at.over, routes):
        by = f"{at.over} ({adapter})" if adapter != at.over else adapter
        here = f"{said} over {by}"
        if adapter == first:
            yield here
        elif adapter in tunnels and adapter not in seen:
            yield from _back_to(first, tunnels[adapter], tunnels, routes, (*seen, adapter), here)


def _adapters(over: str, routes: Mapping[str, Route]) -> tuple[str, ...]:
    """The adapters of a way, by their names."""
    named = routes.get(over)
    return named.adapters if named is not None else route_words.adapters(over)
