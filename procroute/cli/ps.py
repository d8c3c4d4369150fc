"""`procroute ps`: every assignment with its processes, as the daemon knows them."""

from __future__ import annotations

import argparse

from procroute.cli import output
from procroute.errors import Exit


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "ps",
        help="list what is assigned, with its processes",
        description="Lists every assignment with its processes. Of other users' processes only root sees "
        "names and commands. `procroute release` takes the ids. Needs procrouted.",
    )
    parser.add_argument(
        "--sockets",
        action="store_true",
        help="count internet sockets, too: those on the route, and older ones elsewhere",
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Ask, and print."""
    from procroute import protocol
    from procroute.cli import assignment_table
    from procroute.client import Client

    with Client() as client:
        found = client.ask(protocol.Ps(sockets=options.sockets)).assignments
    output.answer(
        assignment_table.as_json(found)
        if options.json
        else assignment_table.as_table(found, output.columns())
    )
    return Exit.OK
