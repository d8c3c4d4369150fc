"""`procroute rules apply`: have rules take what runs already."""

from __future__ import annotations

import argparse
import json

from procroute.cli import output
from procroute.errors import Exit


def add(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the word to a verb's parser."""
    parser = words.add_parser(
        "apply",
        help="have the rules take what runs already",
        description="Puts processes that run already on the routes of the rules that hold for them: for root "
        "all, else your own. What a person has put on a route (run, assign) stays there.",
    )
    parser.add_argument(
        "--existing",
        choices=("keep", "reset"),
        help="what becomes of open connections: they end by themselves, or are ended (default: as each rule "
        "says)",
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Ask for it, and say how many have moved, and which rules could move nobody."""
    from procroute import protocol
    from procroute.cli.rule_words import VERSION
    from procroute.client import Client
    from procroute.terminal import printable

    with Client() as client:
        reply = client.ask(protocol.ApplyRules(existing=options.existing))
    placed, released = reply.placed, reply.released
    if options.json:
        told = {"version": VERSION, "placed": placed, "released": released, "notes": reply.notes}
        output.answer(json.dumps(told))
        return Exit.OK
    if placed:
        many = "1 process is" if placed == 1 else f"{placed} processes are"
        output.answer(f"{many} on a rule's route now")
    if released:
        many, them = ("1 process was", "it") if released == 1 else (f"{released} processes were", "them")
        output.answer(f"{many} let go: no rule holds for {them}")
    if not placed and not released:
        output.answer("nothing moved" if reply.notes else "nothing had to move")
    for note in reply.notes:
        output.tell(printable(note))
    return Exit.OK
