"""`procroute VERB`: finds the verb, turns errors into words and exit statuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from procroute import __version__
from procroute.cli import cleanup, output, run
from procroute.errors import Exit, ProcrouteError

_VERBS = (run, cleanup)


class Parser(argparse.ArgumentParser):
    """An argument parser that speaks as the rest of procroute does."""

    def error(self, message: str) -> NoReturn:
        """Wrong usage is an error like any other."""
        raise ProcrouteError("usage", message, f"{self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status (errors.Exit)."""
    try:
        options = _parser().parse_args(arguments)
        status = options.main(options)
    except ProcrouteError as e:
        output.error(e)
        return e.status
    except KeyboardInterrupt:
        return Exit.SIGNAL + 2
    except BrokenPipeError:
        return Exit.SIGNAL + 13
    return int(status)


def _parser() -> Parser:
    parser = Parser(
        prog="procroute",
        description="Gives a process its own way out: an adapter as the default route of a command.",
    )
    parser.add_argument("--version", action="version", version=f"procroute {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    for verb in _VERBS:
        verb.add(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())
