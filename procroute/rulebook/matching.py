"""Which rule a process meets first, and why it does not meet the earlier ones. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from procroute.rulebook.applications import applications, units, units_of
from procroute.rulebook.globs import matches, matches_path, matches_tree
from procroute.rulebook.route_rule import Conditions, RouteRule, Rulebook
from procroute.rulebook.subject import COMM, Subject
from procroute.terminal import printable

_SHOWN: Final = 200
"""So many characters of a value are told; command lines can have millions."""


class Tried(Struct, frozen=True):
    """One rule, asked. why: in words, what does not hold; empty: it matches."""

    rule: RouteRule
    why: str = ""

    @property
    def matches(self) -> bool:
        """Whether it is met."""
        return not self.why


def trial(rulebook: Rulebook, subject: Subject) -> tuple[Tried, ...]:
    """Each rule in order, up to and with the one that is met."""
    found = []
    for rule in rulebook.rules:
        found.append(Tried(rule, why_not(rule, subject)))
        if found[-1].matches:
            break
    return tuple(found)


def meets(rule: RouteRule, subject: Subject) -> bool:
    """Whether a process meets a rule."""
    if not rule.enabled or not _is_of(rule.owner, subject):
        return False
    for key, any_of in _given(rule.conditions).items():
        if not _holds(key, any_of, subject, rule.owner):
            return False
    return not (rule.unless and _all_hold(rule.unless, subject, rule.owner))


def why_not(rule: RouteRule, subject: Subject) -> str:
    """Why a process does not meet a rule, in words that a terminal may show; empty: it does."""
    if not rule.enabled:
        return "it is switched off"
    if not _is_of(rule.owner, subject):
        real, effective, _ = subject.uids
        return f"it is for uid {rule.owner} alone; the process has {real} (real) and {effective} (effective)"
    for key, any_of in rule.conditions.given.items():
        if not _holds(key, any_of, subject, rule.owner):
            return f"{key} is {_shown(_IS[key](subject, rule.owner))}, not {_shown(any_of, ' or ')}"
    if rule.unless and _all_hold(rule.unless, subject, rule.owner):
        held = ", ".join(f"{key} is {_shown(_IS[key](subject, rule.owner))}" for key in rule.unless.given)
        return f"`not` excepts it: {held}"
    return ""


@lru_cache(1 << 16)
def _given(conditions: Conditions) -> Mapping[str, tuple[str, ...]]:
    return conditions.given


def values(key: str, subject: Subject) -> tuple[str, ...]:
    """What the administrator's rules compare a condition with."""
    return _IS[key](subject, 0)


def _is_of(owner: int, subject: Subject) -> bool:
    """A user's rule is for what is his alone: neither a setuid program that he started, nor another's."""
    return owner == 0 or set(subject.uids[:2]) == {owner}


def _all_hold(conditions: Conditions, subject: Subject, owner: int) -> bool:
    given = _given(conditions)
    return bool(given) and all(_holds(key, any_of, subject, owner) for key, any_of in given.items())


def _holds(key: str, any_of: Iterable[str], subject: Subject, owner: int) -> bool:
    match, values = _MATCH[key], _IS[key](subject, owner)
    return any(match(pattern, value) for pattern in any_of for value in values)


def _names(subject: Subject, _: int) -> tuple[str, ...]:
    """Its name, and where the kernel cut that, the whole one of the program that begins so."""
    name = subject.name
    if len(name.encode(errors="surrogateescape")) < COMM:
        return (name,)
    words = (*subject.exes, *subject.command[:1])
    whole = (word.rpartition("/")[2] for word in words)
    return (name, *dict.fromkeys(w for w in whole if w != name and w.startswith(name)))


def _parents(subject: Subject, _: int) -> tuple[str, ...]:
    """Names, and paths. Who calls itself like a path is not that program."""
    return tuple(t for p in subject.parents for t in ("" if "/" in p.name else p.name, p.exe) if t)


def _units(subject: Subject, owner: int) -> tuple[str, ...]:
    return units_of(subject.cgroup, owner) if owner else units(subject.cgroup)


def _parent(pattern: str, text: str) -> bool:
    """What has a `/` is a path, here and there."""
    if "/" in pattern:
        return matches_path(pattern, text)
    return "/" not in text and matches(pattern, text)


def _same(pattern: str, text: str) -> bool:
    return pattern == text


_IS: Final[Mapping[str, Callable[[Subject, int], tuple[str, ...]]]] = MappingProxyType(
    {
        "exe": lambda subject, _: subject.exes,
        "name": _names,
        "command": lambda subject, _: (" ".join(subject.command),),
        "user": lambda subject, _: (*filter(None, (subject.user,)), str(subject.uids[1])),
        "group": lambda subject, _: (*subject.groups, *map(str, subject.gids)),
        "cgroup": lambda subject, _: (subject.cgroup,),
        "unit": _units,
        "app": lambda subject, _: applications(subject.cgroup),
        "parent": _parents,
    }
)
_MATCH: Final[Mapping[str, Callable[[str, str], bool]]] = MappingProxyType(
    {
        "exe": matches_path,
        "name": matches,
        "command": matches,
        "user": _same,
        "group": _same,
        "cgroup": matches_tree,
        "unit": matches,
        "app": matches,
        "parent": _parent,
    }
)


def _shown(texts: Iterable[str], between: str = ", ") -> str:
    """As a terminal may show them, each cut to a length that can be read."""
    return (
        between.join(printable(t if len(t) <= _SHOWN else f"{t[: _SHOWN - 1]}…") for t in texts) or "unknown"
    )
