"""`procroute watch`: what happens to assignments and to what is ours in the kernel, a line each."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from procroute.cli import output

if TYPE_CHECKING:
    from procroute import protocol


_SIGNS = """= it was assigned before; + it is now; - it is not any more;
! a process left its route, or something was repaired; ~ the health of an
adapter is another; ? events were lost."""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "watch",
        help="tell what happens, as it happens",
        description="Tells what is assigned now, and then what comes, goes and is repaired, a line\n"
        "each, until Ctrl-C. Needs procrouted.",
        epilog=_SIGNS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="a JSON object a line; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Tell until the daemon ends, which is an error. After events that were lost it begins anew."""
    from procroute import protocol
    from procroute.cli import event_words
    from procroute.client import Client

    def tell(what: protocol.Watching | protocol.Event) -> None:
        for line, colour in event_words.as_json(what) if options.json else event_words.in_words(what):
            output.line(line, colour)

    while True:
        with Client() as client:
            tell(client.ask(protocol.Watch()))
            for event in client.events(output.descriptor()):
                tell(event)
