"""`procroute rules test PID`: which rule holds for a process, and why each earlier one does not."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Final

from procroute.cli import output
from procroute.cli.assign import pid
from procroute.errors import Exit

if TYPE_CHECKING:
    from procroute import protocol

_HOLDS, _NOT = "32", "2"
"""Colours of a terminal: green, dim."""
_COUNTED: Final = 100
"""So many rules that do not hold are told one by one; --json tells all."""


def add(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the word to a verb's parser."""
    parser = words.add_parser(
        "test",
        help="say which rule holds for a process, and why earlier ones do not",
        description="Says which rule holds for a process as it is now, and of each earlier one why it does "
        "not. What a person has put on a route (run, assign) stays there, whatever the rules say. For your "
        "own processes; root may ask for any.",
    )
    parser.add_argument("pid", metavar="PID", type=pid, help="a process")
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Ask, and print."""
    from procroute import protocol
    from procroute.client import Client

    with Client() as client:
        tried = client.ask(protocol.TryRules(pid=options.pid)).rules
    if options.json:
        output.answer(_as_json(options.pid, tried))
    else:
        _show(tried)
    return Exit.OK


def _as_json(number: int, tried: list[protocol.TriedRule]) -> str:
    """One object: {"version": 1, "pid": …, "holds": …, "rules": [...]}."""
    from procroute.cli.rule_words import VERSION, plain

    holds = next((t.rule.place for t in tried if not t.why), None)
    rules = [{**plain(t.rule), "why": t.why or None} for t in tried]
    return json.dumps({"version": VERSION, "pid": number, "holds": holds, "rules": rules}, indent=2)


def _show(tried: list[protocol.TriedRule]) -> None:
    from procroute.cli.rule_words import way, what
    from procroute.terminal import printable

    others = [t for t in tried if t.why]
    for one in others[:_COUNTED]:
        output.line(printable(f"✘ {one.rule.place}: {one.why}"), _NOT)
    if len(others) > _COUNTED:
        output.line(f"  and {len(others) - _COUNTED} more that do not hold (--json tells them)", _NOT)
    for one in tried:
        if not one.why:
            output.line(f"✔ {printable(one.rule.place)} holds: {what(one.rule)}: {way(one.rule)}", _HOLDS)
            if one.rule.comment:
                output.line(f"  {printable(one.rule.comment)}")
            return
    output.line("no rule holds: it goes as it likes")
