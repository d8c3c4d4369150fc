"""Globs of rules as regular expressions, each made once. Pure."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache

_MADE = 16384


@lru_cache(_MADE)
def _text(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


@lru_cache(_MADE)
def _path(pattern: str) -> re.Pattern[str]:
    """`*`, `?` and `[…]` stay within a folder; `**` is any number of folders, also none."""
    parts = pattern.split("/")
    out = []
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if part == "**":
            out.append(r".*" if last else r"(?:[^/]+/)*")
        else:
            out.append(_segment(part) + ("" if last else "/"))
    return re.compile(f"(?s:{''.join(out)})")


def _segment(part: str) -> str:
    """One name of a path. A `/` cannot be in it, also where `[!…]` would take any character."""
    if not any(c in part for c in "*?["):
        return re.escape(part)
    out, rest = [], part
    while rest:
        c, rest = rest[0], rest[1:]
        if c == "*":
            out.append("[^/]*")
        elif c == "?":
            out.append("[^/]")
        elif c == "[" and (end := rest.find("]", 2 if rest[:1] == "!" else 1)) > 0:
            out.append(f"(?!/){_set('[' + rest[: end + 1])}")
            rest = rest[end + 1 :]
        else:
            out.append(re.escape(c))
    return "".join(out)


def _set(brackets: str) -> str:
    """A set of characters as fnmatch makes it, without what it puts around a whole pattern."""
    return translate(brackets).removeprefix("(?s:").removesuffix(r")\Z").removesuffix(r")\z")


def is_glob(pattern: str) -> bool:
    """Whether it could match more than itself."""
    return any(c in pattern for c in "*?[")


def matches(pattern: str, text: str) -> bool:
    """Whether a glob matches a whole text; `*` matches anything in it."""
    return pattern == text if not is_glob(pattern) else _text(pattern).match(text) is not None


def matches_path(pattern: str, path: str) -> bool:
    """Whether a glob matches a whole path."""
    return pattern == path if not is_glob(pattern) else _path(pattern).fullmatch(path) is not None


def matches_tree(pattern: str, path: str) -> bool:
    """Whether a glob matches a path, or a folder that it lies in."""
    pattern = pattern.rstrip("/") or "/"
    if pattern == "/" or matches_path(pattern, path):
        return True
    parts = path.split("/")
    return any(matches_path(pattern, "/".join(parts[:n])) for n in range(len(parts) - 1, 1, -1))
