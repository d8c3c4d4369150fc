"""Which rules an exec is held for, and what becomes of it when nobody answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:  # the holder comes through here, which has the standard library only
    from procroute.model import WhenDown


class HoldRule(NamedTuple):
    """key: the daemon's name of it. paths: of the files, with globs as core.exec_paths has them.

    when_down: what to do where the daemon does not answer. uids: only execs by these, or None: by anybody's.
    by: the program who opens one of the files is held when he runs; empty: who executes one is held.
    """

    key: str
    paths: tuple[str, ...]
    when_down: WhenDown
    uids: frozenset[int] | None = None
    by: str = ""


class Starter(NamedTuple):
    """By which program systemd starts those of units; empty: by none that can be held.

    opens: a library, with globs, that it loads before it does anything; empty: none of its own.
    """

    program: str = ""
    opens: str = ""


NO_STARTER: Final = Starter()


class HoldRules:
    """All of them, in their order."""

    def __init__(self, rules: Iterable[HoldRule] = ()) -> None:
        self._rules = tuple(rules)
        self._by_path: dict[str, list[int]] = {}
        for number, rule in enumerate(self._rules):
            for path in rule.paths:
                self._by_path.setdefault(path, []).append(number)

    def __iter__(self) -> Iterator[HoldRule]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def paths(self, *, opens: bool) -> Collection[str]:
        """Of all rules by which execs are held, or opens."""
        return {path for rule in self._rules if bool(rule.by) is opens for path in rule.paths}

    def concerned(
        self, paths: Iterable[str], uids: tuple[int, int] | None, by: str = ""
    ) -> tuple[HoldRule, ...]:
        """Those that hold an exec of a file which these paths mean. uids: real and effective; None: unknown.

        by: the program that opens it; empty: it is executed. A rule for some is for who is one of them by
        both uids: a setuid program's user is not its owner.
        """
        numbers = {number for path in paths for number in self._by_path.get(path, ())}
        found = (self._rules[number] for number in sorted(numbers))
        return tuple(
            rule
            for rule in found
            if rule.by == by and (rule.uids is None or (uids is not None and rule.uids.issuperset(uids)))
        )


def unanswered(rules: Iterable[HoldRule]) -> bool:
    """Whether an exec may go on when nobody says so: not, if one of its rules denies it.

    Which of them it would be is not known here: a rule may have conditions that only the daemon can judge.
    """
    return all(rule.when_down == "allow" for rule in rules)
