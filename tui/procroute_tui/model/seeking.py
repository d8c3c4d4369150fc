"""What is typed into a filter, and where it is sought."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from procroute.protocol import Running
from procroute_tui.model.columns import Facts

COMMAND: Final = "cmd:"
"""Begins a word that is sought in command lines. Others are not: `wan1` is to find what is on that route, and
not each program that names it."""


class Sought(Struct, frozen=True):
    """Words, all of which must be found: in what a process is known by, and in its command line."""

    words: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class Text(Struct):
    """Where they are sought, in small letters; each is made when it is needed first."""

    known_by: str = ""
    command: str = ""


def sought(typed: str) -> Sought:
    """Out of what is typed."""
    words = typed.casefold().split()
    commands = [word.removeprefix(COMMAND) for word in words if word.startswith(COMMAND)]
    return Sought(tuple(w for w in words if not w.startswith(COMMAND)), tuple(filter(None, commands)))


def narrower(typed: str, before: str) -> bool:
    """Whether nothing is found that was not found before: letters were added, and no `cmd:` is new."""
    return typed.startswith(before) and typed.casefold().count(COMMAND) == before.casefold().count(COMMAND)


def found(what: Sought, text: Text, facts: Facts, process: Running) -> bool:
    """Whether a process is like that."""
    if what.words:
        text.known_by = text.known_by or _known_by(facts, process)
        if not all(word in text.known_by for word in what.words):
            return False
    if what.commands:
        text.command = text.command or " ".join(process.command).casefold()
        return all(word in text.command for word in what.commands)
    return True


def _known_by(facts: Facts, process: Running) -> str:
    values = [str(process.pid), process.name, facts.users(process.user), process.unit]
    assignment = facts.machine.assignments.get(process.assignment)
    if assignment is not None:
        values += [assignment.route, assignment.named, assignment.adapter, f"{assignment.rule}:"]
    return "\n".join(values).casefold()
