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
        description="Serves root and the group procroute: run, assign, release, ps, watch, explain\n"
        "and tui; and reload for root. In the foreground, until SIGTERM or Ctrl-C. Logs\n"
        "to stderr; takes no arguments; reads /etc/procroute/config.toml when it starts,\n"
        "and for reload. What lives when it ends stays on its route. Also called\n"
        "procrouted.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal ends it. arguments: what comes after the verb."""
    return int(import_module("procroute.daemon.main").main(arguments))
