"""Verbs of several words, as `rules add`: each word has a parser of its own below the verb's."""

from __future__ import annotations

import argparse


def words_of(verb: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Where the parsers of a verb's words are to be added. verb: a parser of main.Parser."""
    words = verb.add_subparsers(metavar="WORD", required=True, parser_class=type(verb))
    verb.verbs = words.choices  # type: ignore[attr-defined]  # those that are added later, too
    return words
