"""`procroute reload`: the daemon reads its configuration again."""

from __future__ import annotations

import argparse

from procroute.cli import output
from procroute.errors import Exit


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "reload",
        help="have the daemon read its configuration again",
        description="Has procrouted read /etc/procroute/config.toml again, as the signal SIGHUP does; root "
        "only. The file is checked whole first: a bad one changes nothing, and what is wrong is said. The "
        "group procroute is looked up again as well.",
    )
    parser.set_defaults(main=main)


def main(_: argparse.Namespace) -> int:
    """Ask for it, and say what does not hold yet."""
    from procroute import protocol
    from procroute.client import Client

    with Client() as client:
        reply = client.ask(protocol.Reload())
    for note in reply.notes:
        output.tell(note)
    return Exit.OK
