"""`procroute VERB`: finds the verb, turns errors into words and exit statuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from procroute import __version__
from procroute.cli import output
from procroute.errors import Exit, ProcrouteError

_VERBS = ("run", "cleanup", "demo")


class Parser(argparse.ArgumentParser):
    """An argument parser that speaks as the rest of procroute does."""

    def error(self, message: str) -> NoReturn:
        """Wrong usage is an error like any other."""
        raise ProcrouteError("usage", message, f"{self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status (errors.Exit)."""
    try:
        options = _parser(sys.argv[1:] if arguments is None else arguments).parse_args(arguments)
        status = options.main(options)
    except ProcrouteError as e:
        output.error(e)
        return e.status
    except ModuleNotFoundError as e:
        name = (e.name or "").partition(".")[0]
        package = {"nftables": "pip-nftables"}.get(name, name)
        hint = f"pip install {package}"
        output.error(ProcrouteError("library-missing", f"the Python package {package} is missing", hint))
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.SIGNAL + 2
    except BrokenPipeError:
        return Exit.SIGNAL + 13
    except OSError as e:
        output.error(ProcrouteError("system", f"the system refused: {e}"))
        return Exit.FAILED
    return int(status)


def _parser(arguments: Sequence[str]) -> Parser:
    """The parser. Where the verb is clear only that one is loaded: run must start quickly."""
    parser = Parser(
        prog="procroute",
        description="Gives a process its own way out: an adapter as the default route of a command.",
    )
    parser.add_argument("--version", action="version", version=f"procroute {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    asked = arguments[:1] if arguments and arguments[0] in _VERBS else _VERBS
    for verb in asked:
        import_module(f"procroute.cli.{verb}").add(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())
