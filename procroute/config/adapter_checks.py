"""`[adapter.NAME]` tables: how it is found out whether an adapter leads anywhere, and its name servers."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from procroute import route_words
from procroute.checks import Check, Checked, Need, Pace
from procroute.model import IPAddress, unmapped
from procroute.written.document import Wrong, convert
from procroute.written.options import Gateway4, Gateway6, Maybe, Word, Words, words

_GATEWAY = "gateway"
_DEFAULTS = Pace()
_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}([.][A-Za-z0-9_-]{1,63})*[.]?")
_STATUSES = "three digits: status = [200, 204]"


class WrittenDns(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name server, and the name that it is asked for."""

    server: Word
    name: Word


class WrittenCheck(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check as it is written: one of the first four, and how often."""

    ping: Word | Maybe = UNSET
    tcp: Word | Maybe = UNSET
    dns: WrittenDns | Maybe = UNSET
    http: Word | Maybe = UNSET
    address: Annotated[Word | Maybe, Meta(description="Of the host of `http`, where that is a name.")] = UNSET
    status: Annotated[list[int] | Maybe, Meta(description="Of `http`: those that are fine.")] = UNSET
    interval: float = _DEFAULTS.interval
    timeout: float | Maybe = UNSET
    up: int = _DEFAULTS.up
    down: int = _DEFAULTS.down
    jitter: float = _DEFAULTS.jitter


class WrittenAdapter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An adapter as it is written."""

    check: list[dict[str, Any]] = []
    need: Need = "any"
    gateway4: Gateway4 = UNSET
    gateway6: Gateway6 = UNSET
    dns: Words | Maybe = UNSET
    over: Annotated[Word | Maybe, Meta(description="The route of a tunnel's outer packets.")] = UNSET
    over_unit: Annotated[Words | Maybe, Meta(description="The unit of who speaks for the tunnel.")] = UNSET
    over_exe: Annotated[Words | Maybe, Meta(description="Its program.")] = UNSET


# Of each number: the least and the most, and its unit.
_BOUNDS = {
    "interval": (0.2, 3600, "seconds"),
    "timeout": (0.01, 60, "seconds"),
    "up": (1, 100, "in a row"),
    "down": (1, 100, "in a row"),
    "jitter": (0, 0.9, "of the interval"),
}


def checked(written: WrittenAdapter, within: tuple[str | int, ...]) -> Checked | Wrong:
    """What is asked of an adapter, or what is wrong with it. within: the key of its table."""
    found: list[Check] = []
    for number, table in enumerate(written.check):
        key = (*within, "check", number)
        each = convert(table, WrittenCheck, key)
        if isinstance(each, Wrong):
            return each
        check = _check(each)
        if isinstance(check, Wrong):
            return Wrong((*key, *check.key), check.words, check.hint)
        if check in found:
            return Wrong(key, "is there twice")
        found.append(check)
    gateways: dict[str, Any] = {}
    for name, read in (("gateway4", route_words.gateway4), ("gateway6", route_words.gateway6)):
        if text := getattr(written, name):
            try:
                gateways[name] = read(text)
            except ValueError as e:
                return Wrong((*within, name), f"cannot be so: {e}")
    try:
        servers = route_words.servers(words(written.dns)) if written.dns else ()
    except ValueError as e:
        return Wrong((*within, "dns"), f"cannot be so: {e}")
    if written.dns and not servers:
        return Wrong((*within, "dns"), "must be addresses", 'dns = "system" is for a [route.NAME]')
    return Checked(tuple(found), written.need, **gateways, dns=servers)


def _check(written: WrittenCheck) -> Check | Wrong:
    pace = _pace(written)
    if isinstance(pace, Wrong):
        return pace
    kinds = [k for k in ("ping", "tcp", "dns", "http") if not isinstance(getattr(written, k), UnsetType)]
    if len(kinds) != 1:
        what = f"has {' and '.join(kinds)}" if kinds else "says not what is asked"
        return Wrong((), what, "one of: ping, tcp, dns, http")
    if kinds != ["http"]:
        for key in ("address", "status"):
            if not isinstance(getattr(written, key), UnsetType):
                return Wrong((key,), f"is for http, not for {kinds[0]}")
    kind = kinds[0]
    if not isinstance(written.dns, UnsetType):
        return _dns(written.dns, pace)
    try:
        if not isinstance(written.http, UnsetType):
            return _http(written, written.http, pace)
        if not isinstance(written.tcp, UnsetType):
            address, port = _with_port(written.tcp)
            return Check("tcp", address, port, pace=pace)
        assert not isinstance(written.ping, UnsetType)
        return Check("ping", _whom(written.ping), pace=pace)
    except ValueError as e:
        return Wrong((kind,), f"cannot be so: {e}")


def _dns(written: WrittenDns, pace: Pace) -> Check | Wrong:
    try:
        server = _whom(written.server)
    except ValueError as e:
        return Wrong(("dns", "server"), f"cannot be so: {e}")
    if len(written.name) > 253 or not _HOST.fullmatch(written.name):
        return Wrong(("dns", "name"), f"cannot be so: {written.name!r} is no name of a host")
    return Check("dns", server, 53, written.name, pace=pace)


def _pace(written: WrittenCheck) -> Pace | Wrong:
    given = isinstance(written.timeout, float)
    timeout = written.timeout if isinstance(written.timeout, float) else _DEFAULTS.timeout
    pace = Pace(written.interval, timeout, written.up, written.down, written.jitter)
    for key, (least, most, unit) in _BOUNDS.items():
        if not least <= getattr(pace, key) <= most:
            return Wrong((key,), f"must be {least} to {most} {unit}, not {getattr(pace, key)}")
    if timeout <= pace.interval:
        return pace
    if given:
        return Wrong(("timeout",), f"is longer than the interval, {pace.interval:g} s")
    return replace(pace, timeout=pace.interval)


def _whom(text: str) -> IPAddress | None:
    """An address, or None for the gateway. Raises ValueError."""
    if text == _GATEWAY:
        return None
    try:
        found = unmapped(ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is no address; names are not looked up") from None
    if found.is_multicast or found.is_unspecified or found.is_loopback or getattr(found, "scope_id", None):
        raise ValueError(f"{text} is nobody's behind an adapter")
    if found.is_link_local and found.version == 6:
        raise ValueError(f'{text} is link-local; "gateway" means the adapter\'s, whichever it is')
    return found


def _with_port(text: str) -> tuple[IPAddress | None, int]:
    """`192.0.2.1:80`, `[2001:db8::1]:80`, `gateway:80`. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or (":" in host and not (host[0] == "[" and host[-1] == "]")):
        raise ValueError("write ADDRESS:PORT, or [ADDRESS]:PORT for IPv6")
    return _whom(host.removeprefix("[").removesuffix("]")), _port(port)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError(f"{text!r} is no port")
    return int(text)


def _http(written: WrittenCheck, url: str, pace: Pace) -> Check | Wrong:
    """Raises ValueError for what is wrong with the URL."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("a URL has printable ASCII only")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write http://HOST/PATH or https://HOST/PATH")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("no user, password or fragment: checks are shown to everybody")
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    host = parts.hostname
    if isinstance(written.address, UnsetType):
        try:
            address = _whom(host)
        except ValueError:
            return Wrong(
                ("http",), f"has a name, {host}, and names are not looked up", 'give address = "…" too'
            )
        if address is None:
            host = ""
    else:
        try:
            address = _whom(written.address)
        except ValueError as e:
            return Wrong(("address",), f"cannot be so: {e}")
    statuses = () if isinstance(written.status, UnsetType) else tuple(written.status)
    if any(not 100 <= s <= 599 for s in statuses) or (not statuses and written.status == []):
        return Wrong(("status",), "has what is no status", _STATUSES)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Check("http", address, port, host, path, tls, statuses, pace)
