"""Globs of rules. Pure. Users write them and root matches: no pattern may take long."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache
from typing import Final

_MADE: Final = 16384
_WILD: Final = re.compile(r"[*?\[]")


@lru_cache(_MADE)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def is_glob(pattern: str) -> bool:
    """Whether it could match more than itself."""
    return _WILD.search(pattern) is not None


def before_glob(pattern: str) -> str:
    """What a pattern begins with, up to its first sign that is not itself."""
    found = _WILD.search(pattern)
    return pattern[: found.start()] if found else pattern


def quoted(text: str) -> str:
    """A glob that matches this text alone."""
    return _WILD.sub(r"[\g<0>]", text)


def matches(pattern: str, text: str) -> bool:
    """Whether a glob matches a whole text; `*` matches anything in it."""
    return _compiled(pattern).match(text) is not None if is_glob(pattern) else pattern == text


def matches_path(pattern: str, path: str) -> bool:
    """Whether a glob matches a whole path: `*`, `?`, `[…]` within a folder, `**` any folders, or none."""
    if not is_glob(pattern):
        return pattern == path
    wanted, parts = pattern.split("/"), path.split("/")
    at, wild, again = 0, -1, 0  # of wanted: the next, and the last ** ; of parts: where that one went on
    i = 0
    while i < len(parts):
        if at < len(wanted) and wanted[at] == "**":
            wild, again = at, i
            at += 1
        elif at < len(wanted) and matches(wanted[at], parts[i]):
            at, i = at + 1, i + 1
        elif wild >= 0:
            again += 1
            at, i = wild + 1, again
        else:
            return False
    return all(part == "**" for part in wanted[at:])


def matches_tree(pattern: str, path: str) -> bool:
    """Whether a glob matches a path, or a folder that it lies in."""
    whole = pattern.rstrip("/")
    if not is_glob(whole):
        return path == whole or path.startswith(f"{whole}/")
    return matches_path(f"{whole}/**", path)  # also no folders
