"""`procroute unit list`: the units that are wrapped."""

from __future__ import annotations

import argparse

from procroute.cli import output
from procroute.errors import Exit


def add(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the word to a verb's parser."""
    parser = words.add_parser(
        "list",
        help="list the units that are wrapped",
        description="Lists the units that are wrapped: their route, their state, and whether what runs of "
        "them is routed now. restart it: it was started before it was wrapped, or was let go; another "
        "slice: a later drop-in of somebody's has taken it elsewhere.",
    )
    parser.add_argument("--user", action="store_true", help="those of your own manager")
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Look, and print."""
    from procroute.cli import unit_words
    from procroute.engine.wrapping import Units

    rows = Units(user=options.user).rows()
    if options.json:
        output.answer(unit_words.rows_as_json(rows))
    else:
        output.answer(unit_words.rows_as_table(rows, output.columns()))
    return Exit.OK
