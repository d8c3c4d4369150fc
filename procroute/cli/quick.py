"""The quick way of `procroute run`: plain words and a daemon that answers, with hardly anything imported.

Whatever is not plain here is for the full parser (run.py), which means the same by the same words, and says
what is wrong with others.
"""

from __future__ import annotations

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from procroute.client.connection import Connection

_FAMILY = {"--gateway4": _socket.AF_INET, "--gateway6": _socket.AF_INET6}


def run(words: Sequence[str]) -> int | None:
    """What comes after `procroute run`: an exit status, or None where the full parser has to see to it.

    Returns only if the command is not executed.
    """
    import os

    asked = plain(words)
    if asked is None:
        return None
    from procroute.client.connection import Connection
    from procroute.errors import ProcrouteError

    try:
        connection = Connection()
    except ProcrouteError:
        return None
    if asked[0].get("strict") and os.geteuid() == 0:
        return None  # it has an engine of its own (run.py)
    if os.environ.get("SUDO_USER", "root") != "root" and os.geteuid() == 0:
        from procroute.cli import output

        output.tell_whose()
    return _by(connection, *asked)


def _by(connection: Connection, route: dict[str, Any], command: Sequence[str]) -> int:
    from procroute.cli import by_daemon
    from procroute.errors import ProcrouteError

    try:
        by_daemon.run(connection, route, command)
    except ProcrouteError as e:
        from procroute.cli import output

        output.error(e)
        return e.status


def plain(words: Sequence[str]) -> tuple[dict[str, Any], Sequence[str]] | None:
    """The route, as protocol.Wanted has it, and the command; None where the words are not plain."""
    route: dict[str, Any] = {}
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] not in {"-", "--"}:
        name, given = words[at], words[at + 1] if at + 1 < len(words) else ""
        key = name[2:]
        value: Any = True
        if name != "--strict":
            value = _value(name, given)
            at += 1
        if value is None or (key in route and name != "--strict"):
            return None
        route[key] = value
        at += 1
    command = words[at + 1 :] if words[at : at + 1] == ["--"] else words[at:]
    if "via" not in route or not command:
        return None
    return route, command


def _value(name: str, given: str) -> str | list[str] | None:
    """What an option is given; None: not plain. An address is written as inet_ntop(3) does."""
    if name == "--via":
        return given if given and not given.startswith("-") else None
    if name in _FAMILY:
        return _address(given, _FAMILY[name])
    if name != "--dns":
        return None
    if given == "system":
        return []
    servers = [_server(word) for word in given.split(",")]
    return None if None in servers else list(dict.fromkeys(s for s in servers if s))


def _address(text: str, family: int) -> str | None:
    try:
        written = _socket.inet_ntop(family, _socket.inet_pton(family, text))
    except (OSError, ValueError):
        return None
    # IPv4 within IPv6, which Pythons write in different ways.
    return None if ":" in written and "." in written else written


def _server(text: str) -> str | None:
    """A name server, unless something may be wrong with it: mapped, link-local, multicast, this host."""
    v4 = _address(text, _socket.AF_INET)
    if v4 is not None:
        first = int(v4.partition(".")[0])
        return v4 if 0 < first < 224 and not v4.startswith("169.254.") else None
    v6 = _address(text, _socket.AF_INET6)
    return None if v6 is None or v6.startswith(("::", "fe", "ff")) else v6
