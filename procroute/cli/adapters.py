"""`procroute adapters`: each adapter, its ways out and name servers, where learnt, and who uses it."""

from __future__ import annotations

import argparse

from procroute.cli import output
from procroute.errors import Exit


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "adapters",
        help="list the adapters that a command can be given",
        description="Lists each adapter that --via can name, with its gateways and name servers and where "
        "they were learnt. Needs no privilege; root also sees which routes use it.",
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Look, and print."""
    from procroute import config
    from procroute.cli import adapter_table
    from procroute.engine.look import adapter_views

    views = adapter_views(config.read())
    output.answer(
        adapter_table.as_json(views) if options.json else adapter_table.as_table(views, output.columns())
    )
    return Exit.OK
