"""`procroute assign PID… --via ADAPTER`: put what runs already on a route, by the daemon."""

from __future__ import annotations

import argparse
import shlex

from procroute.cli import route_options
from procroute.errors import Exit, ProcrouteError

_USAGE = "procroute assign PID…|--name NAME|--unit UNIT --via ADAPTER"
_EPILOG = """New sockets, and UDP sockets that are tied to no peer, go by ADAPTER at once.
Open connections cannot change their way: they go on as they are until they
end, or are ended (--existing reset), and most programs then connect anew.

You may assign your own processes if you are in group procroute; root any."""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "assign",
        help="put processes that run already on a route",
        description="Makes ADAPTER the default route of processes that run already, and of all that\n"
        "they start. Needs procrouted.",
        usage="procroute assign PID…|--name NAME|--unit UNIT --via ADAPTER\n"
        "                        [--gateway4 A] [--gateway6 A] [--dns A,…|system]\n"
        "                        [--strict] [--inbound] [--hold SECONDS]\n"
        "                        [--on-down block|next|main]\n"
        "                        [--existing keep|reset] [--tree] [--servers]\n"
        "                        [--json]",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pids", metavar="PID", nargs="*", type=_pid, help="processes, by their numbers")
    parser.add_argument("--name", type=route_options.word, help="or all processes of this name")
    parser.add_argument("--unit", type=route_options.word, help="or all processes of this systemd unit")
    parser.add_argument(
        "--via",
        metavar="ADAPTER",
        type=route_options.word,
        help="the adapter to leave by, or a [route.NAME] of the configuration; A,B: by B while A is down "
        "(needed)",
    )
    route_options.add(parser, takes="the processes")
    parser.add_argument("--tree", action="store_true", help="also what descends from them")
    parser.add_argument(
        "--servers", action="store_true", help="UDP sockets on a port of their own choice follow, too"
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def pid(text: str) -> int:
    """The number of a process (proc(5), pid_max)."""
    if text.isascii() and text.isdecimal() and len(text) < 8 and 0 < int(text) <= 1 << 22:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not a PID")


def _pid(text: str) -> int:
    """The same, where a name can be given as well."""
    try:
        return pid(text)
    except argparse.ArgumentTypeError as e:
        by_name = "" if text.isdecimal() else f"; by its name: --name {shlex.quote(text)}"
        raise argparse.ArgumentTypeError(f"{e}{by_name}") from e


def main(options: argparse.Namespace) -> int:
    """Ask for it, and say what became of it."""
    _check(options)
    from procroute import protocol
    from procroute.cli import changed
    from procroute.client import Client

    request = protocol.Assign(
        route=protocol.Wanted(options.via, **route_options.written(options)),
        pids=options.pids,
        name=options.name or "",
        unit=options.unit or "",
        tree=options.tree,
        existing=options.existing or "keep",
        servers=options.servers,
    )
    with Client() as client:
        reply = client.ask(request)
    changed.say(reply, for_programs=options.json)
    return Exit.OK


def _check(options: argparse.Namespace) -> None:
    """Raises ProcrouteError usage where no adapter was given, and not exactly one kind of processes."""
    given = [
        what
        for what, value in (("PIDs", options.pids), ("--name", options.name), ("--unit", options.unit))
        if value
    ]
    if not given:
        raise ProcrouteError("usage", "no process was given", _USAGE)
    if len(given) > 1:
        raise ProcrouteError("usage", f"{' and '.join(given)} cannot be given together", _USAGE)
    if options.via is None:
        raise ProcrouteError("usage", "no adapter was given", _USAGE)
