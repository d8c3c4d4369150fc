"""`procroute VERB`: finds the verb, turns errors into words and exit statuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

from procroute import __version__
from procroute.cli import output
from procroute.errors import Exit, ProcrouteError, refused

_VERBS = (
    "run",
    "assign",
    "release",
    "ps",
    "watch",
    "tui",
    "status",
    "explain",
    "adapters",
    "unit",
    "cleanup",
    "reload",
    "rules",
    "config",
    "daemon",
    "service",
    "demo",
)


class Parser(argparse.ArgumentParser):
    """An argument parser that speaks as the rest of procroute does. Options are not abbreviated.

    verbs: the parsers below this one, by their words.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        self.verbs: Mapping[str, Parser] = {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but each verb refuses what it does not know itself, and names the nearest."""
        words = sys.argv[1:] if args is None else list(args)
        self._check_options(words)
        if self.verbs and not words:
            self._no_verb("no verb was given")
        if self.verbs and not words[0].startswith("-") and words[0] not in self.verbs:
            self._unknown("verb", words[0], self.verbs)
        options, extra = super().parse_known_args(words, namespace)
        if extra:
            self.error(f"unexpected: {' '.join(extra)}")
        return options, extra

    def error(self, message: str) -> NoReturn:
        """Wrong usage is an error like any other."""
        raise ProcrouteError("usage", message, f"see {self.prog} --help")

    def knows(self, option: str) -> bool:
        """Whether it is an option of this verb."""
        return option in self._option_string_actions

    def _check_options(self, words: Sequence[str]) -> None:
        """An unknown option is told before what may be missing because of it.

        So is a second value for an option that takes one: argparse would silently take the last.
        """
        rest, valued = iter(words), set()
        # What begins with a word of its own (a verb, CMD) is not for this parser from there on.
        hands_on = any(a.nargs in {argparse.REMAINDER, argparse.PARSER} for a in self._actions)
        for word in rest:
            if word == "--":
                return
            if word == "-" or not word.startswith("-"):
                if hands_on:
                    return
                continue
            name, equals, _ = word.partition("=")
            option = self._option_string_actions.get(name)
            if option is None:
                self._unknown("option", name, self._option_string_actions)
            if option.nargs is None:
                repeated = isinstance(option, argparse._AppendAction)  # noqa: SLF001 - it has no other name
                if option in valued and not repeated:
                    self.error(f"{name} was given twice")
                valued.add(option)
                if not equals:
                    next(rest, None)

    def _unknown(self, what: str, word: str, known: Iterable[str]) -> NoReturn:
        from procroute.core.nearest import nearest

        near = [f"{parser.prog} {word}" for parser in self.verbs.values() if parser.knows(word)][:1]
        near = near or nearest(word, known)
        if self.verbs and not near and what == "verb":
            self._no_verb(f"unknown verb {word}")
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise ProcrouteError("usage", f"unknown {what} {word}", f"{meant}see {self.prog} --help")

    def _no_verb(self, message: str) -> NoReturn:
        raise ProcrouteError("usage", message, f"verbs: {', '.join(self.verbs)}; see {self.prog} --help")

    def _print_message(self, message: str, file: object = None) -> None:  # noqa: ARG002 - argparse names it
        """Help and version, which argparse prints, are answers like any other."""
        if message:
            output.answer(message.removesuffix("\n"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status (errors.Exit)."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words[:1] == ["daemon"] and words[1:2] not in (["-h"], ["--help"]):
            status = import_module("procroute.cli.daemon").main(words[1:])
        else:
            options = _parser(words).parse_args(words)
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
        output.error(refused(e))
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
    parser.verbs = verbs.choices
    return parser


if __name__ == "__main__":
    sys.exit(main())
