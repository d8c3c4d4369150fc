"""`procroute release %ID|PID…`: let assignments go back to the machine's own way, by the daemon."""

from __future__ import annotations

import argparse

from procroute.cli.assign import pid
from procroute.errors import Exit, ProcrouteError

_USAGE = "procroute release %ID|PID…"
_EPILOG = """%3 is the assignment with the id 3, as `procroute ps` lists it; a bare number is
a PID, as for assign, and stands for the assignment that this process is in.
kill(1) tells jobs from processes in the same way."""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "release",
        help="let processes go back to the machine's own way",
        description="Ends assignments: their processes return to the cgroups that they came from, and\n"
        "go by the machine's own default route again. Needs procrouted.",
        usage="procroute release %%ID|PID… [--existing keep|reset] [--json]",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("things", metavar="%ID|PID", nargs="*", type=_thing, help="what to release")
    parser.add_argument(
        "--existing",
        choices=("keep", "reset"),
        default="keep",
        help="what becomes of open connections: they end by themselves, or are ended (default: keep)",
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Ask for it, and say what became of it."""
    if not options.things:
        raise ProcrouteError("usage", "no assignment was given", f"{_USAGE}; procroute ps lists them")
    from procroute import protocol
    from procroute.cli import changed
    from procroute.client import Client

    request = protocol.Release(
        ids=[number for kind, number in options.things if kind == "id"],
        pids=[number for kind, number in options.things if kind == "pid"],
        existing=options.existing,
    )
    with Client() as client:
        reply = client.ask(request)
    changed.say(reply, for_programs=options.json, pids=request.pids)
    return Exit.OK


def _thing(text: str) -> tuple[str, int]:
    """An assignment by its id, or a process."""
    number = text.removeprefix("%")
    if number != text and number.isascii() and number.isdecimal() and len(number) < 16:
        return "id", int(number)
    try:
        return "pid", pid(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text} is neither a PID nor an id like %3") from None
