"""`procroute cleanup`: remove everything of ours."""

from __future__ import annotations

import argparse
import os

from procroute.cli import output
from procroute.errors import Exit, ProcrouteError


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "cleanup",
        help="remove everything of procroute's, after any crash",
        description="Removes every route, rule, table, program and cgroup of procroute's and nothing else. "
        "Refuses while routed processes are alive. Needs root.",
    )
    parser.add_argument(
        "--force", action="store_true", help="let living processes go, back to the machine's routes"
    )
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Clean up; returns the exit status."""
    if os.geteuid() != 0:
        raise ProcrouteError("not-root", "cleanup must be started by root", "sudo procroute cleanup")
    from procroute import config
    from procroute.engine.cleanup import cleanup

    done = cleanup(config.read().identity, output.tell, force=options.force)
    if done.strays:
        output.tell(
            "left, since nothing says under which numbers procroute could have made it: "
            + ", ".join(done.strays)
        )
    if not done.anything:
        output.answer("nothing was removed" if done.strays else "nothing was left")
        return Exit.OK
    routes = (
        f"{done.routes} route{'' if done.routes == 1 else 's'} removed"
        if done.routes
        else "leftovers removed"
    )
    count = len(done.released)
    released = f", {count} process{'' if count == 1 else 'es'} let go" if count else ""
    output.answer(f"{routes}{released}" + ("" if done.strays else ": nothing of procroute's is left"))
    return Exit.OK
