"""`procroute run --via ADAPTER -- CMD`."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from procroute.cli import output, route_options
from procroute.errors import ProcrouteError
from procroute.terminal import printable

if TYPE_CHECKING:
    from procroute.engine.request import Request

_USAGE = "procroute run --via ADAPTER [OPTION…] -- CMD"
# Lines that argparse does not break: they fit a terminal of 80 columns.
_EPILOG = """name look-ups (port 53) are sent through ADAPTER, to the servers of --dns; else
to those that are kept for ADAPTER by systemd-networkd, systemd-resolved,
NetworkManager, resolvconf, a DHCP lease or wg-quick; else to those of
/etc/resolv.conf that are neither this machine nor on another adapter's LAN.
Where none is left, look-ups fail; --dns system leaves them as they are.

Where CMD leaves others running, run waits for them. Ctrl-C then returns the
prompt; a procroute in the background cleans up after the last of them.

exit status: that of CMD, 128+n when signal n ended it; 127 CMD not found,
126 not executable, 125 procroute failed and CMD was not started, 2 wrong
usage."""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "run",
        help="run a command with an adapter as its default route",
        description="Runs CMD, and everything that it starts, with ADAPTER as its default route:\n"
        "IPv4, IPv6 and name look-ups. The LAN stays reachable, unless --strict. Needs\n"
        "root; with procrouted members of the group procroute may, too, as themselves.",
        usage="procroute run --via ADAPTER [--gateway4 A] [--gateway6 A]\n"
        "                     [--dns A,…|system] [--strict] [--inbound]\n"
        "                     [--on-down block|next|main] [--hold SECONDS]\n"
        "                     [--existing keep|reset] [--user NAME]\n"
        "                     [--] CMD [ARG…]",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--via",
        metavar="ADAPTER",
        type=route_options.word,
        help="the adapter to leave by, by its name, or a [route.NAME] of the configuration; A,B: by B while "
        "A is down (needed)",
    )
    route_options.add(parser)
    parser.add_argument(
        "--user", metavar="NAME", type=route_options.word, help="run CMD as this user; for root"
    )
    parser.add_argument(
        "command",
        metavar="CMD",
        nargs=argparse.REMAINDER,
        help="the command and its arguments; options of run end here, with or without --",
    )
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Run the command; returns its status."""
    command = command_of(options)
    if options.user is None and os.geteuid() == 0:
        output.tell_whose()
    # What leaves a strict route is ended by an engine that stays with its command; the daemon does not stay.
    if options.user is None and not (options.strict and os.geteuid() == 0):
        _ask_daemon(options, command)
    if os.geteuid() != 0:
        raise _not_root(options)
    from procroute import config
    from procroute.engine.run import run

    return run(_request(options, command), config.read(), output.tell)


def _not_root(options: argparse.Namespace) -> ProcrouteError:
    """What a user may do instead."""
    if options.user is not None:
        return ProcrouteError(
            "not-root",
            "run --user must be started by root",
            f"sudo procroute run … --user {printable(options.user)} -- CMD;"
            " without --user procrouted runs CMD as you",
        )
    return ProcrouteError(
        "not-root",
        "run must be started by root while no procrouted runs",
        "sudo procroute run … --user $USER -- CMD; or start it: sudo procroute daemon",
    )


def _ask_daemon(options: argparse.Namespace, command: list[str]) -> None:
    """Become the command, on a route of the daemon's; returns where there is no daemon and root goes without.

    Raises what keeps the command from its route.
    """
    from procroute.cli import by_daemon
    from procroute.client.connection import Connection, place

    if not os.path.exists(place()):
        return
    try:
        connection = Connection()
    except ProcrouteError as e:
        if e.code != "daemon-missing" or os.geteuid() != 0:
            raise
        output.tell(f"{e.message}; this command gets an engine of its own")
        return
    route = {"via": options.via, **route_options.written(options)}
    by_daemon.run(connection, route, command)


def command_of(options: argparse.Namespace) -> list[str]:
    """The command and its arguments. Raises ProcrouteError usage when it or its adapter is missing."""
    words: list[str] = options.command
    if options.via is None:
        meant = f"did you mean --via {words[0]}? " if words[1:2] == ["--"] != words[:1] else ""
        raise ProcrouteError("usage", "no adapter was given", f"{meant}{_USAGE}")
    command = words[1:] if words[:1] == ["--"] else words
    if not command:
        raise ProcrouteError("usage", "no command was given", _USAGE)
    return command


def _request(options: argparse.Namespace, command: list[str]) -> Request:
    from procroute.engine.request import Request

    return Request(
        command=command,
        adapter=options.via,
        user=options.user,
        **route_options.given(options),
    )
