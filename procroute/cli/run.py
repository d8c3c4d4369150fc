"""`procroute run --via ADAPTER -- CMD`."""

from __future__ import annotations

import argparse
import os
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from procroute.cli import output
from procroute.errors import ProcrouteError

if TYPE_CHECKING:
    from procroute.engine.request import Request
    from procroute.model import IPAddress

_USAGE = "procroute run --via ADAPTER [OPTION…] -- CMD"
# Lines that argparse does not break: they fit a terminal of 80 columns.
_EPILOG = """name look-ups (port 53) are sent through ADAPTER, to the servers of --dns; else
to those that systemd-networkd or systemd-resolved keep for ADAPTER; else to
those of /etc/resolv.conf that are neither this machine nor on another
adapter's LAN. Where none is left, look-ups fail; --dns system leaves them as
they are.

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
        "IPv4, IPv6 and name look-ups. The LAN stays reachable, unless --strict.",
        usage="procroute run --via ADAPTER [--gateway4 A] [--gateway6 A]\n"
        "                     [--dns A,…|system] [--strict] [--user NAME]\n"
        "                     [--] CMD [ARG…]",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--via", metavar="ADAPTER", type=_word, help="the adapter to leave by, by its name (needed)"
    )
    for family, kind in ((4, _gateway4), (6, _gateway6)):
        parser.add_argument(
            f"--gateway{family}",
            metavar="A",
            type=kind,
            help=f"its IPv{family} gateway; without it, that of its default route in table main",
        )
    parser.add_argument(
        "--dns",
        metavar="A,…",
        type=_servers,
        help="name servers to ask through it, at most 3 a family; system: leave look-ups alone",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="nothing but the adapter and loopback: no LAN, its addresses are sought behind the adapter",
    )
    parser.add_argument("--user", metavar="NAME", type=_word, help="run CMD as this user")
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
    if os.geteuid() != 0:
        raise ProcrouteError(
            "not-root", "run must be started by root", "sudo procroute run … --user $USER -- CMD"
        )
    if os.environ.get("SUDO_USER") not in (None, "root") and options.user is None:
        user = os.environ["SUDO_USER"]
        output.tell(f"the command runs as root; --user {user} runs it as {user}")
    from procroute import config
    from procroute.engine.run import run

    return run(_request(options, command), config.read(), output.tell)


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
        strict=options.strict,
        gateway4=options.gateway4,
        gateway6=options.gateway6,
        dns=options.dns,
        user=options.user,
    )


def _word(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("is empty")
    return text


def _gateway4(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError as e:
        raise argparse.ArgumentTypeError(f"{text} is not an IPv4 address") from e


def _gateway6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except AddressValueError as e:
        raise argparse.ArgumentTypeError(f"{text} is not an IPv6 address") from e


def _servers(text: str) -> tuple[IPAddress, ...]:
    if text == "system":
        return ()
    try:
        servers = tuple(dict.fromkeys(_plain(ip_address(word.strip())) for word in text.split(",")))
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"{text!r}: addresses with commas between, or system") from e
    for server in servers:
        if server.is_unspecified or server.is_multicast:
            raise argparse.ArgumentTypeError(f"{server} cannot be a name server")
        if server.is_link_local:
            raise argparse.ArgumentTypeError(
                f"{server} is link-local: look-ups cannot be sent to such a server"
            )
    return servers


def _plain(address: IPAddress) -> IPAddress:
    """IPv4 where it is only written as IPv6."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
