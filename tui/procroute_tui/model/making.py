"""A rule out of a process: what it could be known by, the rule of what is chosen, and its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from procroute import protocol
from procroute.rulebook import editing
from procroute.rulebook.applications import applications
from procroute.rulebook.globs import quoted
from procroute.rulebook.shape import WrittenRule
from procroute.rulebook.subject import COMM
from procroute_tui.model.columns import Users
from procroute_tui.model.machine import Machine

_EXACT: Final = frozenset({"user"})
"""Conditions that know no globs."""


class Matcher(Struct, frozen=True):
    """A condition that holds for the process. value: as a rule has it, globs quoted; chosen: at first.

    at_start: it is known only while the program starts, so that nobody who runs already is matched by it.
    """

    key: str
    value: str
    chosen: bool = False
    at_start: bool = False


def matchers(machine: Machine, users: Users, pid: int, executable: str) -> list[Matcher]:
    """What a process can be known by, the best first; of it the first is chosen. executable: its path; empty:
    not known."""
    process = machine.processes[pid]
    parent = machine.processes.get(process.parent)
    program = _program(process, executable)
    apps = applications(process.cgroup)
    found = {
        "exe": program,
        "app": apps[0] if apps else "",
        "name": process.name,
        "unit": process.unit,
        "user": users(process.user),
        "parent": parent.name if parent is not None and "/" not in parent.name else "",
        "command": " ".join(process.command),
    }
    texts = {key: value for key, value in found.items() if value and value.isprintable()}
    return [
        Matcher(
            key,
            value if key in _EXACT else quoted(value),
            chosen=not at,
            at_start=key == "exe" and program != executable,
        )
        for at, (key, value) in enumerate(texts.items())
    ]


def _program(process: protocol.Running, executable: str) -> str:
    """What was executed: of a script its own path, which the interpreter has as its first word."""
    script = process.command[1] if len(process.command) > 1 else ""
    base = script.rpartition("/")[2]
    is_script = script.startswith("/") and base.encode()[:COMM] == process.name.encode() != b""
    return script if is_script and not executable.endswith(f"/{base}") else executable


def written(
    chosen: Mapping[str, str], way: str, *, strict: bool, main: bool, reset: bool, comment: str
) -> WrittenRule:
    """The rule. way: a route or adapter; empty: the machine's own. main: that is taken while it is down.
    Raises msgspec.ValidationError."""
    plain: dict[str, Any] = dict(chosen)
    if way:
        plain["via"] = way
        if strict:
            plain["strict"] = True
        if main:
            plain["on_down"] = "main"
        if reset:
            plain["existing"] = "reset"
    else:
        plain["direct"] = True
    if comment:
        plain["comment"] = comment
    return msgspec.convert(plain, WrittenRule)


def text_of(rule: WrittenRule) -> str:
    """As it will stand in a file. Raises ProcrouteError rule-bad where it makes no sense."""
    text = editing.added("", rule, "")
    return text[text.index("[[rule]]") :].rstrip("\n")


def named(machine: Machine, reply: protocol.Matched) -> str:
    """Whom a rule would match, in a line: how many, and the first of them."""
    known = [machine.processes[pid] for pid in reply.pids if pid in machine.processes]
    if not known:
        return "nobody who runs now"
    names = list(dict.fromkeys(process.name for process in known))
    more = f" and {len(names) - 4} other names" if len(names) > 4 else ""
    return f"{len(known)} of those who run now: {', '.join(names[:4])}{more}"
