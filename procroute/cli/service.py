"""`procroute service`: the daemon as a service of systemd's."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from procroute.cli import output
from procroute.cli.verb_words import words_of
from procroute.errors import Exit, ProcrouteError

if TYPE_CHECKING:
    from procroute.engine.wrapped_units import WrappedUnit


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    verb = verbs.add_parser(
        "service",
        help="have systemd run the daemon",
        description="Has systemd run procrouted: at boot, by its socket, in a sandbox, with a watchdog.",
    )
    words = words_of(verb)
    parser = words.add_parser(
        "install",
        help="put its files in place, and start it",
        description="Puts procrouted.service and its socket into /etc/systemd/system, the group procroute "
        "into sysusers.d, its folders into tmpfiles.d, and a drop-in by which systemd-networkd leaves our "
        "rules alone; then starts it. Again: brings them up to date. Refuses where others than root can "
        "change the code that would run, or where a file of that name is not procroute's. Needs root.",
    )
    parser.set_defaults(main=install)
    parser = words.add_parser(
        "remove",
        help="stop it, and take its files away",
        description="Stops the daemon and takes away what install has put there, and nothing else. What is "
        "routed stays routed until it ends; `procroute cleanup` lets it go. Names the units that are wrapped "
        "and will not start without it. Needs root.",
    )
    parser.set_defaults(main=remove)
    parser = words.add_parser(
        "status",
        help="say what is in place, and whether it runs",
        description="Says of each file whether it is in place and up to date, of the units whether they are "
        "enabled and active, which code others than root could change, and which units are wrapped. Exits "
        "with 1 unless all is well.",
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=status)


def install(_: argparse.Namespace) -> int:
    """Install it."""
    _need_root("install")
    from procroute.engine import service

    new = service.install(output.tell)
    for path in new:
        output.answer(str(path))
    output.tell("procrouted runs" if new else "all was in place; procrouted runs")
    return Exit.OK


def remove(_: argparse.Namespace) -> int:
    """Remove it."""
    _need_root("remove")
    from procroute.engine import service
    from procroute.engine.wrapped_units import everybodys

    gone = service.remove()
    for path in gone:
        output.answer(str(path))
    output.tell("removed" if gone else "nothing of it was there")
    _tell_wrapped(everybodys())
    return Exit.OK


def _tell_wrapped(left: Sequence[WrappedUnit]) -> None:
    """What becomes of units that need it."""
    from procroute.cli.service_table import named

    if left:
        several = len(left) > 1
        output.tell(
            f"wrapped {'units' if several else 'unit'} that will not start, as nobody can put "
            f"{'them on their routes' if several else 'it on its route'}: {', '.join(map(named, left))}"
        )
    for one in left:
        by = f"by {one.user}: " if one.user else ""
        output.tell(f"hint: {by}procroute unit unwrap {'--user ' if one.user else ''}{shlex.quote(one.unit)}")


def status(options: argparse.Namespace) -> int:
    """Say how it is."""
    from procroute.cli import service_table
    from procroute.engine import service

    found = service.status()
    if options.json:
        output.answer(json.dumps(service_table.plain(found), indent=2))
    else:
        output.answer(service_table.table(found, output.columns()))
    return Exit.OK if service_table.well(found) else Exit.FOUND


def _need_root(word: str) -> None:
    if os.geteuid() != 0:
        raise ProcrouteError(
            "not-root", f"service {word} must be started by root", f"sudo procroute service {word}"
        )
