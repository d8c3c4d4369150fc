"""`procroute rules WORD`: the words that rule files are cared for by."""

from __future__ import annotations

import argparse

from procroute.cli import rules_check


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    verb = verbs.add_parser(
        "rules",
        help="check rule files",
        description="Cares for route rules: which programs find their route by themselves (docs/rules.md).",
    )
    words = verb.add_subparsers(metavar="WORD", required=True, parser_class=type(verb))
    rules_check.add(words)
    verb.verbs = words.choices  # type: ignore[attr-defined]
