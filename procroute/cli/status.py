"""`procroute status`: routes, who uses them, what they have carried, and what cannot be promised."""

from __future__ import annotations

import argparse

from procroute.cli import output
from procroute.errors import Exit


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "status",
        help="show the routes, who uses them, and what they have carried",
        description="Shows each route with its commands and their processes, packets and bytes both ways, "
        "what the guard dropped, and what cannot be promised on this machine. Needs root, but no procrouted.",
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Look, and print."""
    from procroute import config
    from procroute.cli import status_table
    from procroute.engine.look import routes_view

    status = routes_view(config.read().identity)
    output.answer(
        status_table.as_json(status) if options.json else status_table.as_table(status, output.columns())
    )
    return Exit.OK
