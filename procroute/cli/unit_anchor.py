"""`procroute unit anchor`: what systemd starts to have a route there for wrapped units."""

from __future__ import annotations

import argparse

from procroute.cli import output, route_options
from procroute.errors import Exit


def add(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the word to a verb's parser."""
    parser = words.add_parser(
        "anchor",
        help="for units that wrap writes: have a route there",
        description="Asks procrouted for the route in whose slice it was started, tells systemd "
        "(Type=notify), and stays, so that the route does. For the units that `procroute unit wrap` writes.",
    )
    parser.add_argument("--via", required=True, metavar="ADAPTER", type=route_options.word)
    route_options.add(parser)
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Ask, and stay until it is moved out of its slice."""
    from procroute import protocol
    from procroute.client import Client
    from procroute.kernel import staying
    from procroute.kernel.service_manager import ServiceManager

    wanted = protocol.Wanted(options.via, **route_options.written(options))
    manager = ServiceManager()
    with Client() as client:
        opened = client.ask(protocol.Open(route=wanted))
    for note in opened.notes:
        output.tell(note)
    manager.ready(f"{opened.route} leaves by {opened.adapter or 'no adapter'}")
    staying.stay()
    output.tell(f"{opened.route} has no anchor any more: this process was moved out of its slice")
    return Exit.FAILED
