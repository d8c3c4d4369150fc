"""`procroute rules remove|enable|disable FILE:LINE`, and what these and `add` tell."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Final

from procroute.cli import output, route_options
from procroute.errors import Exit

if TYPE_CHECKING:
    from procroute import protocol

_WORDS: Final = {
    "remove": ("remove a rule", "Removes a rule from its file", "removed"),
    "enable": ("switch a rule on", "Switches a rule on", "switched on"),
    "disable": ("switch a rule off, and keep it", "Switches a rule off and keeps it", "switched off"),
}


def add(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the words to a verb's parser."""
    for word, (short, long, _) in _WORDS.items():
        parser = words.add_parser(
            word,
            help=short,
            description=f"{long}, at once; comments and other rules stay. Root may change all, you your own.",
        )
        parser.add_argument(
            "rule",
            metavar="FILE:LINE",
            type=route_options.word,
            help="the rule, as `rules list` shows it; FILE without its folder where that is clear",
        )
        parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
        parser.set_defaults(main=main, edit=word)


def main(options: argparse.Namespace) -> int:
    """Ask for it, and say what was changed."""
    from procroute import protocol
    from procroute.client import Client

    with Client() as client:
        reply = client.ask(protocol.EditRule(rule=options.rule, edit=options.edit))
    say(reply, _WORDS[options.edit][2], as_json=options.json)
    return Exit.OK


def say(reply: protocol.Edited, done: str, *, as_json: bool) -> None:
    """Print what was changed; for people with its notes, which are beside the answer."""
    from procroute.cli.rule_words import VERSION, plain, way, what
    from procroute.terminal import printable

    if as_json:
        told = {"version": VERSION, "rule": plain(reply.rule), "notes": reply.notes}
        output.answer(json.dumps(told, indent=2))
        return
    output.answer(f"{done}: {printable(reply.rule.place)}: {what(reply.rule)}: {way(reply.rule)}")
    for note in reply.notes:
        output.tell(printable(note))
