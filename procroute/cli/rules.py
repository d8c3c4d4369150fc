"""`procroute rules WORD`: the words that route rules are cared for by."""

from __future__ import annotations

import argparse

from procroute.cli import rules_add, rules_apply, rules_check, rules_edit, rules_list, rules_test
from procroute.cli.verb_words import words_of


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    verb = verbs.add_parser(
        "rules",
        help="list, add, test and check route rules",
        description="Cares for route rules: which programs find their route by themselves (docs/rules.md). "
        "All but check ask procrouted.",
    )
    words = words_of(verb)
    for word in (rules_list, rules_add, rules_edit, rules_test, rules_apply, rules_check):
        word.add(words)
