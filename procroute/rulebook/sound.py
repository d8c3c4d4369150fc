"""What a rule's values can mean, and what they cannot. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from procroute import route_words
from procroute.rulebook.globs import is_glob
from procroute.rulebook.route_rule import WAY_OPTIONS, Conditions
from procroute.rulebook.shape import WrittenRule
from procroute.terminal import printable
from procroute.written.document import Wrong
from procroute.written.options import Maybe

_NO_UID: Final = 0xFFFF_FFFF
"""(uid_t) -1 is nobody's (setreuid(2))."""
SEVERAL: Final = 'several adapters: via = "wg0,wan1"'
"""How they are written; a hint."""
_ADAPTER = re.compile(r"[^/\s]+")


def wrong_way(written: WrittenRule) -> Iterator[Wrong]:
    """What is wrong with where a rule leads."""
    direct = None if isinstance(written.direct, Maybe) else written.direct
    if isinstance(written.via, Maybe):
        if direct is None:
            yield Wrong((), "a rule needs a way", 'give via = "ROUTE or adapter", or direct = true')
        elif not direct:
            yield Wrong(("direct",), "is false, and there is no via", "leave one of them out, or say true")
        else:
            for key in (*WAY_OPTIONS, "when_down"):
                if not isinstance(getattr(written, key), Maybe):
                    yield Wrong((key,), "belongs to via, and the rule says direct", "leave it out")
        return
    if direct:
        yield Wrong(("direct",), "and via cannot both hold", "leave one of them out")
    if not _ADAPTER.fullmatch(written.via) or not written.via.isprintable():
        yield Wrong(("via",), f"cannot be {_quoted(written.via)}", "name a [route.NAME] or an adapter")
        return
    try:
        route_words.adapters(written.via)
    except ValueError as e:
        yield Wrong(("via",), f"cannot be {e}", SEVERAL)


def wrong_conditions(conditions: Conditions, where: tuple[str, ...]) -> Iterator[Wrong]:
    """What is wrong with conditions. where: the key of the table that they are in."""
    for key, any_of in conditions.given.items():
        for text in any_of:
            if words := _cannot(key, text):
                what, hint = words
                yield Wrong((*where, key), f"{what}: {_quoted(text)}", hint)


_Found = tuple[str, str] | None


def _cannot(key: str, text: str) -> _Found:
    if "\0" in text:
        return "holds a NUL byte, which nothing of a process can", ""
    return _CHECKS[key](text) if key in _CHECKS else None


def _path(text: str) -> _Found:
    if not text.startswith("/"):
        whole = "write all of it, as realpath(1) shows it"
        return "must be a path from /", whole if "/" in text else f'a name alone: name = "{printable(text)}"'
    if any(part in {".", ".."} for part in text.split("/")):
        return "must be a path without . and ..", "write it as realpath(1) shows it"
    if any("**" in part and part != "**" for part in text.split("/")):
        return "has ** beside other characters", "** stands between two /, for any folders"
    return None


def _program(text: str) -> _Found:
    if found := _path(text):
        return found
    if text.endswith("/") or "//" in text:
        return "is no path of a program", f"all below a folder: {printable(text.rstrip('/'))}/**"
    return None


def _printable(text: str) -> _Found:
    return None if text.isprintable() else ("holds a control character", "")


def _cgroup(text: str) -> _Found:
    if text.startswith("/sys/fs/cgroup"):
        return "is counted from the root of cgroups", "write it as /proc/PID/cgroup shows it"
    return _path(text) or _printable(text)


def _unit(text: str) -> _Found:
    if "/" in text:
        return "is no name of a unit", "a path is a cgroup: cgroup = …"
    return _printable(text)


def _application(text: str) -> _Found:
    if text.endswith(".desktop"):
        return "is the name of a file; an application's id has no .desktop", text.removesuffix(".desktop")
    return _printable(text)


def _account(text: str) -> _Found:
    if is_glob(text):
        return "takes no globs", "a list names several"
    if text.isdigit() and text.isascii() and int(text) >= _NO_UID:
        return "is no number that somebody can have", f"numbers go to {_NO_UID - 1}"
    if ":" in text or "/" in text:
        return "is no name", ""
    return _printable(text)


def _quoted(text: str) -> str:
    return printable(text if len(text) <= 80 else f"{text[:79]}…")


_CHECKS: Final[Mapping[str, Callable[[str], _Found]]] = MappingProxyType(
    {
        "exe": _program,
        "user": _account,
        "group": _account,
        "cgroup": _cgroup,
        "unit": _unit,
        "app": _application,
    }
)
