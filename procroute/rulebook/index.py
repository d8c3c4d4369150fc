"""The first rule that a process meets, among many: only those are asked that could hold. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from procroute.rulebook.globs import is_glob
from procroute.rulebook.grams import Grams
from procroute.rulebook.matching import meets, values
from procroute.rulebook.route_rule import Conditions, RouteRule
from procroute.rulebook.subject import Subject

_BY: Final = ("exe", "name", "user", "group", "app")
"""Conditions that few rules share; a rule is found by the first of them that it has without globs."""
_BY_GRAMS: Final = ("exe", "name", "app", "unit", "cgroup", "command", "parent")
"""Else it is found by the first of these whose patterns are all long enough."""
_ALL_DIFFERENT: Final = frozenset({"command"})
_KEPT: Final = 1024
"""What was found by so many texts is kept: what starts in a second has few parents, units and names."""


class Index:
    """Rules that are switched on, in their order."""

    def __init__(
        self, rules: Iterable[RouteRule], keyed: Callable[[RouteRule], bool] = lambda _: False
    ) -> None:
        """keyed: rules whose `exe` the asker judges: `first` is told which paths of theirs hold."""
        self._rules = tuple(rule for rule in rules if rule.enabled)
        self._keyed: dict[str, list[int]] = defaultdict(list)
        self._found_by: dict[str, dict[str, list[int]]] = {key: defaultdict(list) for key in _BY}
        self._grams = {key: Grams() for key in _BY_GRAMS}
        self._always: list[int] = []
        for number, rule in enumerate(self._rules):
            if keyed(rule):
                for path in rule.conditions.exe:
                    self._keyed[path].append(number)
            elif by := _key(rule.conditions):
                for value in getattr(rule.conditions, by):
                    self._found_by[by][value].append(number)
            elif not self._by_grams(number, rule.conditions):
                self._always.append(number)
        self._numbers_by = lru_cache(_KEPT)(self._by_texts)

    def first(self, subject: Subject, paths: Collection[str] = ()) -> RouteRule | None:
        """The rule that holds. paths: those of keyed rules, as they are written, that mean its program; the
        `exe` of other keyed rules does not hold."""
        keyed = {number for path in paths for number in self._keyed.get(path, ())}
        for number in sorted({*self._always, *keyed, *self._numbers(subject)}):
            rule = self._rules[number]
            if meets(_without_exe(rule) if number in keyed else rule, subject):
                return rule
        return None

    def _by_grams(self, number: int, conditions: Conditions) -> bool:
        return any(
            self._grams[key].add(number, patterns)
            for key in _BY_GRAMS
            if (patterns := getattr(conditions, key))
        )

    def _numbers(self, subject: Subject) -> Iterator[int]:
        for key, found in self._found_by.items():
            if found:
                for value in values(key, subject):
                    yield from found.get(value, ())
        for key, grams in self._grams.items():
            if grams:
                by = self._by_texts if key in _ALL_DIFFERENT else self._numbers_by
                yield from by(key, values(key, subject))

    def _by_texts(self, key: str, texts: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(self._grams[key].numbers(texts))


def _key(conditions: Conditions) -> str:
    for key in _BY:
        patterns = getattr(conditions, key)
        if patterns and not any(map(is_glob, patterns)):
            return key
    return ""


def _without_exe(rule: RouteRule) -> RouteRule:
    return replace(rule, conditions=replace(rule.conditions, exe=()))
