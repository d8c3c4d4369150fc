"""`procroute rules list`: the route rules that the daemon has, in their order."""

from __future__ import annotations

import argparse

from procroute.cli import output
from procroute.errors import Exit


def add(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the word to a verb's parser."""
    parser = words.add_parser(
        "list",
        help="list the rules that procrouted has",
        description="Lists the rules that procrouted has, in the order in which they are asked: the "
        "administrator's and your own; root sees everybody's. finds: how a rule finds its processes. held: "
        "their start waits until they are on the route; unit, user: a cgroup follows, no process moves; "
        "owner: the user's sockets are marked when they are made; "
        "news: by news of processes, so the first packets of one may go before.",
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Ask, and print."""
    from procroute import protocol
    from procroute.cli import rule_table
    from procroute.client import Client
    from procroute.terminal import printable

    with Client() as client:
        reply = client.ask(protocol.Rules())
    if options.json:
        output.answer(rule_table.as_json(reply))
        return Exit.OK
    output.answer(rule_table.as_table(reply.rules, output.columns()))
    if reply.wrong:
        output.tell(f"the files cannot be used: {printable(reply.wrong)}")
    for note in reply.notes:
        output.tell(printable(note))
    return Exit.OK
