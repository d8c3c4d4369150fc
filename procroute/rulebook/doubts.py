"""What a sound rule names and this machine does not have: it may come, or is misspelt. EFFECTS: looks."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from procroute.rulebook.globs import before_glob, is_glob
from procroute.rulebook.route_rule import Conditions, RouteRule
from procroute.terminal import printable
from procroute.written.finding import Finding

_ROOTS: Final = frozenset({"root", "0"})
_LONGEST: Final = 15
"""Bytes of an adapter's name (IFNAMSIZ); only alternative ones are longer, and are not looked for here."""


def doubts(rules: Iterable[RouteRule], routes: Container[str]) -> list[Finding]:
    """Findings that are no errors, of rules that are switched on. routes: the names of configured ones."""
    found = []
    for rule in rules:
        if rule.enabled:
            for words in _doubtful(rule, routes):
                found.append(Finding(rule.file, rule.line, False, words))
    return found


def _doubtful(rule: RouteRule, routes: Container[str]) -> Iterator[str]:
    for conditions in filter(None, (rule.conditions, rule.unless)):
        yield from _missing(conditions)
    if (
        rule.via
        and not rule.owner
        and all(any(map(_TAKES_ROOTS[key], some)) for key, some in rule.conditions.given.items())
    ):
        yield "it takes all that root starts, the system's services and your next shell among that"
    if rule.via and rule.via.name not in routes and not all(map(is_adapter, rule.via.name.split(","))):
        yield f"there is no [route.{printable(rule.via.name)}], and no such adapter now"


def _missing(conditions: Conditions) -> Iterator[str]:
    for path in conditions.exe:
        if words := _program(path):
            yield printable(f"exe {path}: {words}")
    for name in conditions.user:
        if not name.isdigit() and not _known(pwd.getpwnam, name):
            yield f"there is no user {printable(name)}"
    for name in conditions.group:
        if not name.isdigit() and not _known(grp.getgrnam, name):
            yield f"there is no group {printable(name)}"


def _stars(text: str) -> bool:
    return set(text) == {"*"}


def _all_folders(text: str) -> bool:
    return set(text) <= {"*", "/"} and "**" in text


_TAKES_ROOTS: Final[Mapping[str, Callable[[str], bool]]] = MappingProxyType(
    {
        "exe": _all_folders,
        "name": _stars,
        "command": _stars,
        "user": _ROOTS.__contains__,
        "group": _ROOTS.__contains__,
        "cgroup": lambda text: text == "/" or _all_folders(text),
        "unit": _stars,
        "app": lambda _: False,
        "parent": lambda text: _stars(text) or _all_folders(text),
    }
)
"""Whether all that root starts, or nearly all, holds such a condition."""


def _program(path: str) -> str:
    """Why nothing can be executed by this path now. Of a glob, only the folder before it is looked at."""
    if is_glob(path):
        fixed = before_glob(path).rpartition("/")[0] or "/"
        return "" if os.path.isdir(fixed) else f"there is no folder {fixed}"
    try:
        seen = os.stat(path)
    except FileNotFoundError:
        return "there is no such program now"
    except OSError as e:
        return f"cannot be looked at: {e.strerror}"
    if not stat.S_ISREG(seen.st_mode):
        return "is no program"
    return "" if seen.st_mode & 0o111 else "nobody may execute it"


def _known(ask: Callable[[str], object], name: str) -> bool:
    try:
        ask(name)
    except (KeyError, ValueError):
        return False
    return True


def is_adapter(name: str) -> bool:
    """Whether one is called so; also by an alternative name (netdevice(7), SIOCGIFINDEX)."""
    if len(os.fsencode(name)) > _LONGEST:
        return True
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True
