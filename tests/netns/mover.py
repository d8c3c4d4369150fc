"""A program to run in the lab's machine: puts processes that run already on a route, as the daemon does.

One JSON request a line on stdin, one JSON answer a line on stdout, until stdin ends:

    {"how": "assign", "pids": [4711], "via": "wan1", "tree": true}
    {"how": "release", "pids": [4711], "existing": "reset"}

Without a daemon: the engine's own steps in their order.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

from procroute.config import Settings
from procroute.core.machine import Observed
from procroute.engine import gather, membership, move, open_sockets, touching
from procroute.engine.lock import lock
from procroute.engine.marking import marks_here
from procroute.engine.reconcile import reconcile
from procroute.engine.request import Request, route_for
from procroute.errors import ProcrouteError
from procroute.kernel import cgroup_mount, cgroups, held, sockets
from procroute.kernel.linux import Linux
from procroute.kernel.pinned import identify
from procroute.model import Existing, LiveRoute


class Mover:
    """routes: those that were made, by number. assignments: the cgroup of each, and its route's number."""

    def __init__(self, linux: Linux) -> None:
        self._linux = linux
        self._routes: dict[int, LiveRoute] = {}
        self._assignments: dict[Path, int] = {}
        self._observed: Observed | None = None

    def assign(
        self,
        pids: list[int],
        via: str = "wan1",
        tree: bool = False,
        strict: bool = False,
        waits: bool = False,
        **options: Any,
    ) -> dict[str, Any]:
        """Put processes on a route: what became of their sockets, and who was moved.

        waits: when their sockets have been looked at and before they are marked, for a line.
        """
        linux = self._linux
        with lock():
            observed = linux.observe()
            marks = marks_here(linux.cgroup_mount, packet_marks=False)
            live, _ = route_for(linux, observed, Request([], via, strict), marks)
            self._routes[live.number] = live
            observed = reconcile(linux, linux.identity, lambda _: self._routes.values(), observed)
            origin = linux.cgroup_mount.below(cgroup_mount.of_process(pids[0]) or "/") or "/"
            assignment = cgroups.add_assignment(linux.path(live.number), "assign", origin)
            self._assignments[assignment] = live.number
            given = [one for pid in pids if (one := identify(pid))]
            began = time.monotonic()
            ahead = open_sockets.Ahead(pids, tree=tree)
            gathered = gather.gather(assignment, given, tree=tree, likely=ahead.descendants)
            between = time.monotonic()
            with _waiting(waits):
                moved = move.follow(
                    linux.identity,
                    live,
                    assignment,
                    observed.machine,
                    ahead=ahead,
                    gathered=gathered,
                    given=self._given(),
                    **options,
                )
        return {
            "moved": moved,
            "members": sorted(one.pid for one in gathered.members),
            "settled": gathered.settled,
            "inside": sorted(pid for pid, _ in cgroups.processes(assignment)),
            "gather_ms": (between - began) * 1000,
            "follow_ms": (time.monotonic() - between) * 1000,
        }

    def release(
        self, pid: int, existing: Existing = "keep", silently: bool = False, waits: bool = False
    ) -> dict[str, Any]:
        """Let go of the assignment that a process is in. silently: its sockets lose all bits of ours.

        waits: as of assign.
        """
        linux = self._linux
        with lock():
            assignment = next(
                path for path in self._assignments if pid in {one for one, _ in cgroups.processes(path)}
            )
            number = self._assignments.pop(assignment)
            observed = linux.observe()
            origin = linux.mount / cgroups.origin(assignment).lstrip("/")
            origin = assignment if silently else origin
            members = membership.let_out(linux.mount, assignment)
            with _waiting(waits):
                moved = move.part(
                    linux.identity,
                    number,
                    members,
                    observed.machine,
                    existing=existing,
                    origin=origin,
                    given=self._given(),
                )
            linux.placement.end(assignment)
        return {"moved": moved}

    def carriers(self, number: int = 1) -> dict[str, Any]:
        """The sockets that carry a route's number, and who holds them, but for those in TIME_WAIT."""
        identity, holders = self._linux.identity, held.everybodys()
        found = [
            (name, str(one.remote), sorted(holders.get(one.inode, ())))
            for protocol, name in ((sockets.TCP, "TCP"), (sockets.UDP, "UDP"))
            for one in sockets.with_mark(protocol, identity.mark(number), identity.number_mask)
            if one.state != sockets.TIME_WAIT
        ]
        return {"carriers": found}

    def next_number(self, via: str) -> dict[str, Any]:
        """The number that a new route gets."""
        linux = self._linux
        return {"number": route_for(linux, linux.observe(), Request([], via, strict=True))[0].number}

    def forget(self) -> dict[str, Any]:
        """Remove routes without processes."""
        linux = self._linux
        with lock():
            used = set(self._assignments.values())
            self._routes = {n: live for n, live in self._routes.items() if n in used}
            reconcile(linux, linux.identity, lambda _: self._routes.values())
        return {}

    def count(self) -> dict[str, Any]:
        """The sockets of every assignment."""
        asked = [
            (number, [pid for pid, _ in cgroups.processes(path)])
            for path, number in self._assignments.items()
        ]
        return {"counts": move.count(self._linux.identity, asked, self._given())}

    def _given(self) -> dict[int, int]:
        routes = ((live, [self._linux.path(number)]) for number, live in self._routes.items())
        return move.marks_given(self._linux.identity, routes)


@contextmanager
def _waiting(waits: bool) -> Iterator[None]:
    """Say so and wait for a line when sockets have been looked at, before anything is done to them."""
    treat = touching.treat

    def later(*given: Any, **options: Any) -> Any:
        print(json.dumps({"waits": True}), flush=True)
        sys.stdin.readline()
        return treat(*given, **options)

    with patch.object(touching, "treat", later if waits else treat):
        yield


def main() -> None:
    """Answer requests until there are no more."""
    with Linux(Settings().identity) as linux:
        mover = Mover(linux)
        ways: dict[str, Callable[..., dict[str, Any]]] = {
            name: getattr(mover, name)
            for name in ("assign", "release", "carriers", "next_number", "forget", "count")
        }
        print(json.dumps({"pid": os.getpid()}), flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = ways[request.pop("how")](**request)
            except ProcrouteError as e:
                answer = {"error": str(e)}
            print(msgspec.json.encode(answer).decode(), flush=True)


if __name__ == "__main__":
    main()
