"""`procroute demo`: two uplinks in private namespaces, and the real `run` on each."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
from collections.abc import Callable
from typing import NoReturn

from procroute.cli import output
from procroute.errors import Exit, ProcrouteError


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "demo",
        help="show it at work, in private namespaces",
        description="Makes a machine with two uplinks in private namespaces and runs a command there by each "
        "of them and without procroute. Needs root and no second uplink; this machine's network stays as it "
        "is.",
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Run the demonstration; 0 only if everything came out where it was promised."""
    if os.geteuid() != 0:
        raise ProcrouteError(
            "not-root", "demo makes network namespaces, which takes root", "sudo procroute demo"
        )
    for program, package in (("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")):
        if shutil.which(program) is None:
            raise ProcrouteError("program-missing", f"{program} is missing", f"install the package {package}")
    interrupt = Interrupt()
    from procroute.cli import demonstration

    shown = demonstration.show(output.tell, interrupt.first)
    output.answer(shown.as_json() if options.json else shown.as_table(output.columns()))
    return Exit.OK if shown.kept else Exit.FAILED


class Interrupt:
    """Ctrl-C from now on: ends this process at once, wherever it is. One that is ignored stays ignored.

    An exception instead would have to find its way out of imports, locks and threads.
    """

    def __init__(self) -> None:
        self._first: Callable[[], None] | None = None
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._end)

    def first(self, do: Callable[[], None]) -> None:
        """What is to be done before the end; must be fit for a signal handler."""
        self._first = do

    def _end(self, *_: object) -> NoReturn:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._first is not None:
            self._first()
        os._exit(Exit.SIGNAL + signal.SIGINT)
