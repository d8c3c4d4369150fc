"""`procroute unit anchor`: what systemd starts to have a route there for wrapped units."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Final

from procroute.cli import output, route_options
from procroute.errors import Exit, ProcrouteError

if TYPE_CHECKING:
    from procroute.protocol import Opened, Wanted

_PATIENCE: Final = 65.0
"""Seconds in which a daemon that hangs is ended, and its next one answers (WatchdogSec=)."""
_AGAIN: Final = ("daemon-lost", "daemon-silent")
_PAUSE: Final = 0.1


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
    from procroute.kernel import staying
    from procroute.kernel.service_manager import ServiceManager

    wanted = protocol.Wanted(options.via, **route_options.written(options))
    manager = ServiceManager()
    opened = _opened(wanted)
    for note in opened.notes:
        output.tell(note)
    manager.ready(f"{opened.route} leaves by {opened.adapter or 'no adapter'}")
    staying.stay()
    output.tell(f"{opened.route} has no anchor any more: this process was moved out of its slice")
    return Exit.FAILED


def _opened(wanted: Wanted) -> Opened:
    """The route. A daemon that ends meanwhile, or hangs, costs no start: its next one is asked.

    Raises ProcrouteError.
    """
    from procroute import protocol
    from procroute.client import Client

    end = time.monotonic() + _PATIENCE
    while True:
        try:
            with Client() as client:
                return client.ask(protocol.Open(route=wanted))
        except ProcrouteError as e:
            if e.code not in _AGAIN or time.monotonic() > end:
                raise
            output.tell(f"{e.message}: it is asked again")
        time.sleep(_PAUSE)
