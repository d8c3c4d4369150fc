"""`procroute unit wrap` and `unwrap`: a unit takes a route at every start."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from procroute.cli import output, route_options
from procroute.errors import Exit

if TYPE_CHECKING:
    from procroute.core.unit_texts import Wrapping
    from procroute.engine.wrapping import Changes

_DIFF = {"+": "32", "-": "31", "@": "36"}
_WRAP = """Has a service take a route at every start, by a drop-in of systemd's: from its
first packet on, that of ExecStartPre= included, and across restarts. It does
not start while nobody can put it on its route; what runs of it stays where it
is until it is started anew.

  procroute unit wrap --via wan1 backup.service"""


def add(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the words to a verb's parser."""
    parser = words.add_parser(
        "wrap",
        help="have a unit take a route at every start",
        description=_WRAP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--via",
        required=True,
        metavar="ADAPTER",
        type=route_options.word,
        help="an adapter, several in their order (wg0,wan1), or a [route.NAME] of the configuration as it is "
        "now",
    )
    route_options.add(parser, stop=True)
    _add_common(parser)
    parser.set_defaults(main=wrap)
    parser = words.add_parser(
        "unwrap",
        help="take that back",
        description="Takes away what wrap has put there for a unit, and nothing else. What runs of it stays "
        "on its route until it is started anew.",
    )
    _add_common(parser)
    parser.set_defaults(main=unwrap)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", action="store_true", help="a unit of your own manager (systemctl --user)")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be written, and write nothing"
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.add_argument(
        "unit", metavar="UNIT", type=route_options.word, help="a service; NAME@.service: all its instances"
    )


def wrap(options: argparse.Namespace) -> int:
    """Wrap a unit."""
    _check_who(options, "wrap")
    from procroute.engine.wrapping import Units

    units = Units(user=options.user)
    wrapping, notes = _wrapping(options)
    changes = units.wrapping(options.unit, wrapping, notes)
    if not options.dry_run:
        units.apply(changes)
    return _say(options, changes, "it takes its route from its next start on; what runs of it")


def unwrap(options: argparse.Namespace) -> int:
    """Unwrap one."""
    _check_who(options, "unwrap")
    from procroute.engine.wrapping import Units

    units = Units(user=options.user)
    changes = units.unwrapping(options.unit)
    if not options.dry_run:
        units.apply(changes)
    return _say(options, changes, "it leaves its route at its next start; what runs of it")


def _wrapping(options: argparse.Namespace) -> tuple[Wrapping, list[str]]:
    from procroute import config
    from procroute.engine.request import Request, named
    from procroute.engine.unit import wrapping_for
    from procroute.errors import ProcrouteError

    stop = options.on_down == "stop"
    if stop:
        options.on_down = None
    settings = config.read()
    request = named(Request((), options.via, **route_options.given(options)), settings.route)
    if request.strict and options.user:
        raise ProcrouteError(
            "usage",
            "a strict route has no units of users: they could leave it for another unit of theirs",
            "have the system run it, with User=, and wrap it there",
        )
    return wrapping_for(settings.identity, request, stop=stop, routes=settings.route)


def _say(options: argparse.Namespace, changes: Changes, afterwards: str) -> int:
    from procroute.cli import unit_words

    if options.json:
        output.answer(unit_words.changes_as_json(changes, written=not options.dry_run))
        return Exit.OK
    if options.dry_run:
        for line in unit_words.diff(changes):
            output.line(line, _DIFF.get(line[:1], ""))
    else:
        for change in changes.files:
            output.answer(str(change.path))
    for note in changes.notes:
        output.tell(note)
    if not changes.files:
        output.tell(f"{changes.unit} is so already")
    elif not options.dry_run:
        output.tell(f"{afterwards}: {_restart(changes.unit, user=options.user)}")
    return Exit.OK


def _restart(unit: str, *, user: bool) -> str:
    """What starts a unit, or a template's instances, anew where they run."""
    words = ("systemctl", *(["--user"] if user else []), "try-restart", unit.replace("@.", "@*."))
    return shlex.join(words)


def _check_who(options: argparse.Namespace, word: str) -> None:
    import os

    from procroute.errors import ProcrouteError

    if os.geteuid() != 0 and not options.user and not options.dry_run:
        raise ProcrouteError(
            "not-root",
            f"unit {word} must be started by root, or with --user for a unit of your own manager",
            f"sudo procroute unit {word} {'… ' if word == 'wrap' else ''}{options.unit}",
        )
