"""A mover (mover.py) in a lab, and what tests of moving ask of who is moved.

with Lab() as lab, bystander(lab) as other, mover(lab) as move:
    move.assign(other.pid, via="wan1")
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from procroute.lab import Lab, Uplink
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from tests.netns.inhabitants import Inhabitant
from tests.netns.running import ENVIRONMENT
from tests.netns.traffic import SERVER, own_address


class Mover:
    """A running mover."""

    def __init__(self, process: Process, errors: IO[str]) -> None:
        self._process = process
        self._errors = errors
        self._answer()

    def ask(self, how: str, **request: Any) -> Any:
        """One request and its answer; AssertionError for one that is refused."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"how": how, **request}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        assert "error" not in answer, answer["error"]
        return answer

    def assign(self, *pids: int, **options: Any) -> Any:
        """See mover.py."""
        return self.ask("assign", pids=list(pids), **options)

    def release(self, pid: int, **options: Any) -> Any:
        """What became of the sockets."""
        return self.ask("release", pid=pid, **options)["moved"]

    def meanwhile(self, how: str, do: Callable[[], object], **request: Any) -> Any:
        """What became of sockets, if this is done after they were looked at and before they are touched."""
        self.ask(how, waits=True, **request)
        do()
        return self.ask("go on")["moved"]

    def carriers(self, number: int = 1) -> list[tuple[str, str, list[int]]]:
        """Protocol, far end and holders of each socket that carries a route's number."""
        return [tuple(one) for one in self.ask("carriers", number=number)["carriers"]]

    def _answer(self) -> Any:
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], 30 * FACTOR)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._errors.seek(0)
            raise AssertionError(f"the mover does not answer: {self._errors.read()}")
        return json.loads(line)


@contextmanager
def mover(lab: Lab) -> Iterator[Mover]:
    """A mover in the lab's machine."""
    pipe = subprocess.PIPE
    words = [sys.executable, "-m", "tests.netns.mover"]
    with tempfile.TemporaryFile("w+") as errors:
        process = lab.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=errors)
        try:
            yield Mover(process, errors)
        finally:
            assert process.stdin
            assert process.stdout
            process.stdin.close()
            process.wait(20)
            process.stdout.close()


def pid_of(living: Inhabitant) -> int:
    """Its PID in the lab's machine."""
    return living.ask("hello").pid


def furnish(living: Inhabitant, family: int) -> None:
    """One open socket of each kind: tcp, udp (connected), unconnected."""
    for kind in ("tcp", "udp", "unconnected"):
        heard = living.ask(kind, to=SERVER[family], keep=kind)
        assert not heard.error, (kind, heard.error)


def way_of(lab: Lab, living: Inhabitant, name: str, family: int) -> str:
    """By which adapter a kept socket speaks, as what came out and who answered say; else what is wrong."""
    lab.clear()
    to = SERVER[family] if name.startswith("unconnected") else ""
    heard = living.ask("again", name=name, to=to)
    lab.settle()
    out = {
        adapter: {packet.source for packet in uplink.packets()}
        for adapter, uplink in lab.uplinks.items()
        if uplink.packets()
    }
    if len(out) != 1:
        return f"{heard.error} out by {sorted(out)}"
    adapter, sources = next(iter(out.items()))
    uplink: Uplink = lab.uplinks[adapter]
    if sources != {own_address(uplink, family)}:
        return f"{adapter} from {sources}"
    if heard.error:
        return f"{adapter}: {heard.error}"
    if heard.said.startswith("{") and json.loads(heard.said)["router"] != uplink.wire.node:
        return f"{adapter}, but {heard.said}"
    return adapter
