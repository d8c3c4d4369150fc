"""Explanations in a lab, and probes that show whether they are true: each by a destination port of its own.

with explaining(lab) as explained:
    way = explained.ways(command, "192.0.2.80")[""]
    probe = Probe("command", "tcp", "192.0.2.80")
    assert left(lab, {"command": command}, [probe]) == [{("wan1", "198.51.100.2")}]
"""

from __future__ import annotations

import contextlib
import json
import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from tests.netns.inhabitants import Inhabitant, start
from tests.netns.running import ENVIRONMENT

EXPLAINER: Final = [sys.executable, str(Path(__file__).with_name("explainer.py"))]
_FIRST_PORT: Final = 20_000
_SECONDS: Final = 0.003
"""So long an answer is awaited: none has to come."""


class Explainer:
    """A program that explains, in the machine."""

    def __init__(self, process: Process, errors: IO[str]) -> None:
        self._process = process
        self._errors = errors

    def ask(self, pid: int, destination: str = "") -> dict[str, Any]:
        """What it says. Raises AssertionError when it is gone or silent."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write(json.dumps({"pid": pid, "destination": destination}) + "\n")
        stdin.flush()
        ready, _, _ = select.select([stdout], [], [], 20 * FACTOR)
        line = stdout.readline() if ready else ""
        self._errors.seek(0)
        assert line, f"no explanation of {pid}: {self._errors.read()}"
        found: dict[str, Any] = json.loads(line)
        return found

    def ways(self, who: Inhabitant, destination: str) -> dict[str, dict[str, Any]]:
        """The ways of a process to an address, by the address that a socket is bound to, "" for none."""
        found = self.ask(who.ask("hello").pid, destination)
        assert "error" not in found, found
        return {way["bound"] or "": way for way in found["ways"]}


@contextlib.contextmanager
def explaining(lab: Lab) -> Iterator[Explainer]:
    """A program that explains, ready to be asked."""
    with start(lab, EXPLAINER, ENVIRONMENT) as (process, errors):
        try:
            yield Explainer(process, errors)
        finally:
            assert process.stdin
            assert process.stdout
            process.stdin.close()
            process.wait(10)
            process.stdout.close()


@dataclass(frozen=True)
class Probe:
    """One thing that somebody sends. way: tcp, udp or unconnected; bound: the source that it binds to."""

    who: str
    way: str
    destination: str
    bound: str = ""


Left = set[tuple[str, str]]
"""Adapters and source addresses by which packets left."""


def left(lab: Lab, inhabitants: dict[str, Inhabitant], probes: list[Probe]) -> list[Left]:
    """Send them all, each to a port of its own, and see by which adapter and from which address each left."""
    lab.clear()
    for port, probe in enumerate(probes, _FIRST_PORT):
        inhabitants[probe.who].ask(
            probe.way, to=probe.destination, source=probe.bound, port=port, seconds=_SECONDS
        )
    lab.settle()
    found: list[Left] = [set() for _ in probes]
    for adapter, uplink in lab.uplinks.items():
        for packet in uplink.packets():
            at = packet.destination_port - _FIRST_PORT
            if 0 <= at < len(probes) and packet.protocol in (6, 17):
                found[at].add((adapter, packet.source))
    return found
