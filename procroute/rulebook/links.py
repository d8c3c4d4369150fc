"""Paths of rules with what they lead to: the kernel names a program by its real path. Pure."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from procroute.rulebook.globs import is_glob
from procroute.rulebook.route_rule import Conditions, RouteRule, Rulebook


def followed(rulebook: Rulebook, real_path: Callable[[str], str]) -> Rulebook:
    """The rulebook with real paths beside those that are written: `/bin/sh` may be `/usr/bin/dash`.

    real_path: os.path.realpath. Globs stay as they are. To be done again when links may have changed.
    """
    return structs.replace(rulebook, rules=tuple(_rule(rule, real_path) for rule in rulebook.rules))


def _rule(rule: RouteRule, real_path: Callable[[str], str]) -> RouteRule:
    return structs.replace(
        rule,
        conditions=_conditions(rule.conditions, real_path),
        unless=rule.unless and _conditions(rule.unless, real_path),
    )


def _conditions(conditions: Conditions, real_path: Callable[[str], str]) -> Conditions:
    return structs.replace(
        conditions, exe=_paths(conditions.exe, real_path), parent=_paths(conditions.parent, real_path)
    )


def _paths(patterns: tuple[str, ...], real_path: Callable[[str], str]) -> tuple[str, ...]:
    real = [real_path(p) for p in patterns if p.startswith("/") and not is_glob(p)]
    return tuple(dict.fromkeys((*patterns, *real)))
