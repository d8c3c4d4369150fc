"""The text of config.toml as settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from procroute.checks import MOST, Checked
from procroute.config import Settings
from procroute.config.adapter_checks import WrittenAdapter, checked
from procroute.config.named_routes import WrittenRoute, named_route, unfit_adapter, unfit_name
from procroute.config.over import tunnel, wrong_ways
from procroute.errors import ProcrouteError
from procroute.identity import PREFERENCES, Identity
from procroute.model import Allowed, Route
from procroute.terminal import printable
from procroute.tunnels import Tunnel
from procroute.written.document import UnreadableError, Wrong, convert, decode, near, parse
from procroute.written.finding import Finding
from procroute.written.lines import lines, nearest_line


def settings(data: bytes, file: str) -> Settings:
    """What a file says. Raises ProcrouteError config-bad with file, line and key."""
    found = read(data, file)
    if isinstance(found, Finding):
        raise ProcrouteError("config-bad", f"{printable(found.place)}: {found.message}", found.hint)
    return found


def read(data: bytes, file: str) -> Settings | Finding:
    """What a file says, or the first thing that is wrong with it."""
    try:
        text = decode(data)
        found = _settings(parse(text))
    except UnreadableError as e:
        return Finding(file, e.line, True, e.message, e.hint)
    if isinstance(found, Wrong):
        return Finding(file, nearest_line(lines(text), found.key), True, found.message, found.hint)
    return replace(found, tunnels=_placed(found.tunnels, text, file)) if found.tunnels else found


def _placed(tunnels: Mapping[str, Tunnel], text: str, file: str) -> dict[str, Tunnel]:
    """With the lines on which they stand."""
    at = lines(text)
    return {
        name: replace(each, file=file, line=nearest_line(at, ("adapter", name, "over")))
        for name, each in tunnels.items()
    }


def _settings(document: dict[str, Any]) -> Settings | Wrong:
    known = tuple(field for field in Settings.__struct_fields__ if field != "tunnels")  # said in `adapter`
    for key in document:
        if key not in known:
            return Wrong((key,), "is unknown", near(key, known))
    packet_marks = document.get("packet_marks", True)
    if not isinstance(packet_marks, bool):
        return Wrong(("packet_marks",), f"must be true or false, not {packet_marks!r}")
    identity = _identity(document.get("identity", {}))
    if isinstance(identity, Wrong):
        return identity
    access = _access(document.get("access", {}))
    if isinstance(access, Wrong):
        return access
    routes = _routes(document.get("route", {}))
    if isinstance(routes, Wrong):
        return routes
    adapters = _adapters(document.get("adapter", {}))
    if isinstance(adapters, Wrong):
        return adapters
    checked_ones, tunnels = adapters
    if wrong := wrong_ways(tunnels, routes):
        return wrong
    return Settings(identity, packet_marks, access, routes, checked_ones, tunnels)


def _identity(table: object) -> Identity | Wrong:
    if not isinstance(table, dict):
        return Wrong(("identity",), "must be a table", "write [identity] above it")
    for key, value in table.items():
        if key not in Identity.__struct_fields__:
            return Wrong(("identity", key), "is unknown", near(key, Identity.__struct_fields__, "identity."))
        if not isinstance(value, int) or isinstance(value, bool):
            return Wrong(("identity", key), f"must be a number, not {value!r}")
    return _sound(Identity(**table))


def _access(table: object) -> dict[str, Allowed] | Wrong:
    if not isinstance(table, dict):
        return Wrong(("access",), "must be a table", "write [access.NAME] above it")
    found = {}
    for user, says in table.items():
        if not isinstance(says, dict):
            return Wrong(("access", user), "must be a table", f"[access.{printable(user)}]")
        for key in says:
            if key not in Allowed.__struct_fields__:
                hint = near(key, Allowed.__struct_fields__, f"access.{printable(user)}.")
                return Wrong(("access", user, key), "is unknown", hint)
        allowed = convert(says, Allowed, ("access", user))
        if isinstance(allowed, Wrong):
            return allowed
        found[user] = allowed
    return found


def _routes(table: object) -> dict[str, Route] | Wrong:
    if not isinstance(table, dict):
        return Wrong(("route",), "must be a table", "write [route.NAME] above it")
    found = {}
    for name, says in table.items():
        if not isinstance(says, dict):
            return Wrong(("route", name), "must be a table", f"[route.{printable(name)}]")
        if problem := unfit_name(name):
            return Wrong(("route", name), problem)
        written = convert(says, WrittenRoute, ("route", name))
        if isinstance(written, Wrong):
            return written
        route = named_route(written)
        if isinstance(route, Wrong):
            return Wrong(("route", name, *route.key), route.words, route.hint)
        found[name] = route
    return found


def _adapters(table: object) -> tuple[dict[str, Checked], dict[str, Tunnel]] | Wrong:
    """What is said of adapters, by their names: how they are checked, and of which a route is underneath."""
    if not isinstance(table, dict):
        return Wrong(("adapter",), "must be a table", "write [[adapter.NAME.check]] above it")
    found: dict[str, Checked] = {}
    tunnels: dict[str, Tunnel] = {}
    for name, says in table.items():
        if not isinstance(says, dict):
            return Wrong(("adapter", name), "must be a table", f"[[adapter.{printable(name)}.check]]")
        if problem := unfit_adapter(name):
            return Wrong(("adapter", name), problem, "see `procroute adapters`")
        if isinstance(says.get("check"), dict):
            hint = f"two brackets each: [[adapter.{printable(name)}.check]]"
            return Wrong(("adapter", name, "check"), "is one of several", hint)
        if isinstance(ways := says.get("over"), list):
            hint = f'over = "{printable(",".join(map(str, ways)))}"'
            return Wrong(("adapter", name, "over"), "must be one text, not a list", hint)
        written = convert(says, WrittenAdapter, ("adapter", name))
        of_it = written if isinstance(written, Wrong) else checked(written, ("adapter", name))
        if isinstance(of_it, Wrong):
            return of_it
        found[name] = of_it
        outer = None if isinstance(written, Wrong) else tunnel(name, written)
        if isinstance(outer, Wrong):
            return outer
        if outer is not None:
            tunnels[name] = outer
    if (number := sum(len(each.checks) for each in found.values())) > MOST:
        return Wrong(("adapter",), f"has {number} checks; {MOST} are allowed")
    return found, tunnels


def _sound(identity: Identity) -> Identity | Wrong:
    mask, bits = identity.mark_mask, identity.mark_mask.bit_count()
    key, problem = "", ""
    if not 0 < mask <= 0xFFFF_FFFF or mask // (mask & -mask) != (1 << bits) - 1 or not 2 <= bits <= 8:
        key, problem = "mark_mask", f"= {mask:#x} must be 2 to 8 ones in a row, as 0xff000000 is"
    elif not 1 <= identity.preference <= 32766 - PREFERENCES:
        key = "preference"
        problem = f"must leave {PREFERENCES} numbers between 0 (local) and 32766 (main)"
    elif not 256 <= identity.table <= 600_000:
        key, problem = "table", "must be 256 to 600000"
    elif not identity.table + 256 <= identity.adapter_table <= 0x7FFF_FFFF:
        key, problem = "adapter_table", "must lie above the tables of routes"
    elif not 5 <= identity.protocol <= 255:
        key = "protocol"
        problem = "must be 5 to 255: lower ones are the kernel's and iproute2's"
    return Wrong(("identity", key), problem) if key else identity
