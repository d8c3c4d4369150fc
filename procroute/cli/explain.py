"""`procroute explain`: how packets of a process or a unit go, as the kernel itself answers, and why."""

from __future__ import annotations

import argparse
import os

from procroute.cli import output
from procroute.errors import Exit, ProcrouteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from procroute.protocol import Explained


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "explain",
        help="say how packets of a process go, and why",
        description="Says by which rule, table, adapter and source address packets of a process go, as the "
        "kernel itself answers, what the guard does with them, where names are looked up, and why some could "
        "go elsewhere or nowhere. Bystanders are explained as well. Nothing is sent, nothing changed. Asks "
        "procrouted, for your own processes; without one it needs root.",
    )
    parser.add_argument(
        "subject", metavar="PID|UNIT", help="a process, or a systemd unit (its first process)"
    )
    parser.add_argument(
        "destination", metavar="DEST", nargs="?", default="", help="an address; else anywhere"
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Have it looked at, and print."""
    from procroute.cli import explanation

    pid, unit = subject(options.subject)
    explained = _explained(pid, unit, options.destination)
    output.answer(
        explanation.as_json(explained) if options.json else explanation.as_text(explained, output.columns())
    )
    return Exit.OK


def _explained(pid: int | None, unit: str, destination: str) -> Explained:
    """By the daemon, who knows of assignments; where there is none, by root alone. Raises ProcrouteError."""
    from procroute import protocol
    from procroute.client import Client

    try:
        with Client() as client:
            return client.ask(protocol.Explain(pid=pid, unit=unit, destination=destination))
    except ProcrouteError as e:
        if e.code != "daemon-missing":
            raise
        if os.geteuid() != 0:
            hint = f"sudo procroute explain {unit or pid}; or {e.hint}"
            raise ProcrouteError("not-root", f"only root may explain while {e.message}", hint) from e
    from procroute import config
    from procroute.engine.explain import explain
    from procroute.kernel.linux import Linux

    settings = config.read()
    with Linux(settings.identity) as linux:
        linux.tell(given=settings.given_servers)
        return explain(linux, pid, unit, destination)


def subject(word: str) -> tuple[int | None, str]:
    """A PID, or the name of a unit. Raises ProcrouteError usage, process-unknown."""
    if not word:
        raise ProcrouteError("usage", "neither a PID nor a unit was given", "see procroute explain --help")
    if not word.isdecimal():
        return None, word
    if len(word) > 7 or not 0 < int(word) <= 1 << 22:  # proc(5), pid_max
        raise ProcrouteError("process-unknown", f"there is no process {word[:20]}", "ps(1) lists them")
    return int(word), ""
