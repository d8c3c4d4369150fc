"""`procroute daemon`: be procrouted, in the foreground. Its words are its own to read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser, where the list of verbs shows it."""
    verbs.add_parser(
        "daemon",
        help="be procrouted, which routes for other users, too; root only",
        description="Serves run for users of group procroute, and assign, release, ps, watch\n"
        "and explain, in the foreground, until SIGTERM or Ctrl-C. Logs to stderr; takes\n"
        "no arguments; it reads /etc/procroute/config.toml when it starts, and for\n"
        "reload. What lives when it ends stays on its route. Also called procrouted.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal ends it. arguments: what comes after the verb."""
    return int(import_module("procroute.daemon.main").main(arguments))
