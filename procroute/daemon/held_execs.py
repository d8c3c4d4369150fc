"""A process whose exec is held, as rules will see it when that has come about."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from msgspec.structs import replace

from procroute.daemon.recent import Recent
from procroute.daemon.rule_subjects import RuleSubjects, facts_of
from procroute.holder.words import Exec
from procroute.kernel.process_facts import Facts
from procroute.kernel.rule_subject import group_names, groups_of, is_program, name_by
from procroute.kernel.set_ids import KEPT
from procroute.rulebook.subject import Subject
from procroute.user_names import user_name

_REMEMBERED: Final = 256
"""So many execs are remembered: of a script its interpreter's comes right after its own."""


class HeldExec(NamedTuple):
    """now: what is said of a process; then: as it will be when its exec has come about; paths: of rules that
    mean its program."""

    now: Facts
    then: Subject
    paths: frozenset[str]


class _Before(NamedTuple):
    """An exec that was held. program: what the process ran until then, and its words; paths: of
    rules that mean it."""

    program: tuple[str, tuple[str, ...]]
    path: str
    paths: frozenset[str]


class HeldExecs:
    """It has to see each exec that is held: a script is known by the one before its interpreter's."""

    def __init__(self, subjects: RuleSubjects) -> None:
        self._subjects = subjects
        self._before: Recent[tuple[int, int], _Before] = Recent(_REMEMBERED)

    def denied(self, asked: Exec) -> None:
        """It has not come about: what the process executes next is another."""
        self._before.pop((asked.pid, asked.began), None)

    def executing(self, asked: Exec, conditions: Collection[str]) -> HeldExec | None:
        """A process whose exec is held; None: it is not that one any more. conditions: that there are."""
        found = self._subjects.of(asked.pid, conditions)
        if found is None or found[1] != asked.began:
            return None
        who, began = found
        exes, paths = self._programs(asked, (who.exes[0], who.command))
        then = replace(who, exes=exes, name=name_by(asked.path), command=())
        if asked.uid != KEPT:
            user = user_name(asked.uid) if "user" in conditions else ""
            then = replace(then, uids=(who.uids[0], asked.uid, asked.uid), user=user)
        try:
            if asked.gid != KEPT and "group" in conditions:
                gids = groups_of(asked.pid, asked.gid)
                then = replace(then, gids=gids, groups=group_names(gids))
            return HeldExec(facts_of(who, began), then, paths)
        except OSError:
            return None

    def _programs(
        self, asked: Exec, program: tuple[str, tuple[str, ...]]
    ) -> tuple[tuple[str, ...], frozenset[str]]:
        """The paths by which the program will be known, and those of rules that mean it."""
        exes, paths = [asked.path], frozenset(asked.paths)
        key = (asked.pid, asked.began)
        script = self._before.get(key)
        if script is not None and script.program == program and not is_program(script.path):
            # The same exec, of the interpreter by now; a program would be one that could not be executed.
            exes.append(script.path)
            paths |= script.paths
        self._before[key] = _Before(program, asked.path, paths)
        return tuple(exes), paths
