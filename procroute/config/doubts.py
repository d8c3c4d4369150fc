"""What a sound configuration names and this machine does not have, or what changes nothing in it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from procroute.config import Settings
from procroute.model import OnDown
from procroute.terminal import printable
from procroute.written.document import decode, parse
from procroute.written.finding import Finding
from procroute.written.lines import Key, lines, nearest_line

Is = Callable[[str], bool]


def doubts(data: bytes, file: str, settings: Settings, *, is_adapter: Is, is_user: Is) -> list[Finding]:
    """Findings that are no errors. data: of the file, which says these settings.

    is_adapter, is_user: whether there is one of that name now.
    """
    text = decode(data)
    at = lines(text)
    found = [*_absent(settings, is_adapter, is_user), *_idle(parse(text).get("route", {}))]
    return sorted(Finding(file, nearest_line(at, key), False, words, hint) for key, words, hint in found)


def _absent(settings: Settings, is_adapter: Is, is_user: Is) -> Iterator[tuple[Key, str, str]]:
    named: list[tuple[Key, tuple[str, ...]]] = [(("adapter", name), (name,)) for name in settings.adapter]
    named += [(("route", name, "adapters"), route.adapters) for name, route in settings.route.items()]
    for name, tunnel in settings.tunnels.items():
        if tunnel.over not in settings.route:
            named.append((("adapter", name, "over"), tuple(tunnel.over.split(","))))
    for user, allowed in settings.access.items():
        named.append((("access", user, "adapters"), tuple(allowed.adapters or ())))
        if user != "*" and not is_user(user):
            yield ("access", user), f"there is no user {printable(user)}", ""
    for key, names in named:
        for name in names:
            if not is_adapter(name):
                yield key, f"there is no adapter {printable(name)} now", ""


def _idle(routes: dict[str, Any]) -> Iterator[tuple[Key, str, str]]:
    """Of routes by one adapter, what is for several."""
    for name, says in routes.items():
        adapters = says["adapters"]
        if says.get("on_down") == OnDown.NEXT.value and (isinstance(adapters, str) or len(adapters) == 1):
            words = "on_down = next changes nothing: the route has one adapter"
            yield ("route", name, "on_down"), words, "name more adapters, or write block or main"
