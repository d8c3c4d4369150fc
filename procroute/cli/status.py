"""`procroute status`: routes, who uses them, what they have carried, and what cannot be promised."""

from __future__ import annotations

import argparse

from procroute.cli import output
from procroute.errors import Exit, ProcrouteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from procroute.protocol import RuleList

_PATIENCE = 2.0
"""Seconds for the daemon to answer: what else there is can be told without it."""


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

    status, ruled = routes_view(config.read()), _rules()
    output.answer(
        status_table.as_json(status, ruled)
        if options.json
        else status_table.as_table(status, output.columns(), ruled)
    )
    return Exit.OK


def _rules() -> RuleList | None:
    """What the daemon says of rules; None where it does not answer."""
    from procroute import protocol
    from procroute.client import Client

    try:
        with Client(timeout=_PATIENCE) as client:
            return client.ask(protocol.Rules())
    except (ProcrouteError, OSError):
        return None
