"""`procroute demo`: two uplinks in private namespaces, and the real `run` on each."""

from __future__ import annotations

import argparse
import os
import shutil

from procroute.cli import output
from procroute.errors import Exit, ProcrouteError


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "demo",
        help="show it at work, in private namespaces",
        description="Makes a machine with two uplinks in private namespaces and runs a command there by each "
        "of them and without procroute. Needs no second uplink and leaves this machine's network as it is.",
    )
    parser.add_argument("--json", action="store_true", help="the result for programs")
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
    from procroute.cli import demonstration

    shown = demonstration.show(output.tell)
    output.answer(shown.as_json() if options.json else shown.as_table())
    return Exit.OK if shown.kept else Exit.FAILED
