"""Runs inside the bench lab: makes COUNT routes, keeps a process in each, and waits.

    python -m tests.bench.many_routes ADAPTER COUNT

Prints the cgroups of the first two. By the engine's own reconcile, all at once, since a hundred times
`procroute run` takes minutes. The first route is that of `run --dns system`, the others have a name server
each.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from ipaddress import IPv4Address

from procroute import config
from procroute.engine.lock import lock
from procroute.engine.reconcile import reconcile
from procroute.kernel import cgroups
from procroute.kernel.bpf.support import switched_off
from procroute.kernel.linux import Linux
from procroute.model import LiveRoute, Marks, Route


def make(adapter: str, count: int) -> list[LiveRoute]:
    """The routes, numbered from 1."""
    servers = [(), *((IPv4Address("198.18.2.0") + number,) for number in range(1, count))]
    marks = Marks.PACKETS if switched_off() else Marks.SOCKETS
    return [
        LiveRoute(Route(adapter, dns=dns), number, servers=dns, marks=marks)
        for number, dns in enumerate(servers, 1)
    ]


def main() -> None:
    adapter, count = sys.argv[1], int(sys.argv[2])
    identity = config.read().identity
    with Linux(identity) as linux, lock():
        routes = make(adapter, count)
        reconcile(linux, identity, lambda _: routes)
        assignments = []
        for route in routes:
            assignment = cgroups.add_assignment(
                linux.path(route.number), "bench", linux.cgroup_mount.of("self")
            )
            if os.fork() == 0:
                cgroups.enter(assignment)
                os.execvp("sleep", ["sleep", "3600"])
            while not cgroups.populated(assignment):
                time.sleep(0.001)
            assignments.append(assignment)
    print(*assignments[:2], flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
