"""`procroute unit run WORDS`: what procroute-run@.service starts."""

from __future__ import annotations

import argparse
import shlex

from procroute.errors import ProcrouteError


def add(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the word to a verb's parser."""
    parser = words.add_parser(
        "run",
        help="for procroute-run@.service: `procroute run`, its words in one",
        description="Does what `procroute run` does with these words, which are given as one, quoted as for "
        "a shell; no shell reads them. For procroute-run@.service, whose instance they are: "
        "systemctl start \"procroute-run@$(systemd-escape -- '--via wan1 -- CMD')\".",
    )
    parser.add_argument("words", metavar="WORDS", help="options of run, and a command")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Run it."""
    from procroute.cli.main import main as verb

    try:
        words = shlex.split(options.words)
    except ValueError as e:
        raise ProcrouteError("usage", f"{options.words}: {e}", "quote as for a shell") from e
    return verb(["run", *words])
