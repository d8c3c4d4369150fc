"""What it costs a bystander that some user's sockets are marked by whose they are (decision 0015).

    python -m tests.bench.owners

In one process of another user: so many of an operation with the programs at the root of the tree and as many
without, in turn; the medians of CPU time and of the differences within pairs. Pairs in which nothing changes
show the noise.
"""

from __future__ import annotations

import _socket
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from procroute.core.owners import Owned
from procroute.identity import Identity
from procroute.kernel import owners
from procroute.lab import Lab, namespaces
from tests.netns.by_hand import in_child
from tests.netns.daemons import ALICE, BOB

_PAIRS: Final = 41
_TIMES: Final = 4000
_IDENTITY: Final = Identity()
_TOLD: Final = frozenset({Owned(ALICE, 1)})


def _udp() -> None:
    _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM).close()


def _tcp() -> None:
    _socket.socket(_socket.AF_INET6, _socket.SOCK_STREAM).close()


def _bound() -> None:
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    sock.bind(("198.51.100.2", 0))
    sock.close()


def _connected() -> None:
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # no TIME_WAIT
    sock.connect(("127.0.0.1", 4000))
    sock.close()


_DONE: Final = {
    "UDP socket, close": _udp,
    "TCP socket, close": _tcp,
    "UDP socket, bind, close": _bound,
    "TCP socket, connect, reset over loopback": _connected,
}


def _measured(operation: Callable[[], None]) -> int:
    """Nanoseconds of CPU for one."""
    begun = time.thread_time_ns()
    for _ in range(_TIMES):
        operation()
    return (time.thread_time_ns() - begun) // _TIMES


def _pairs(root: Path, told: frozenset[Owned]) -> dict[str, list[tuple[int, int]]]:
    """For each operation the times without and with, as a bystander."""
    listening = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 4000))
    listening.listen(4096)
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in _DONE}
    for _ in range(_PAIRS):
        for name, operation in _DONE.items():
            times = []
            for some in (frozenset[Owned](), told):
                owners.put(root, _IDENTITY, some)
                os.seteuid(BOB)
                times.append(_measured(operation))
                os.seteuid(0)
                _drain(listening)
            found[name].append((times[0], times[1]))
    return found


def _drain(listening: _socket.socket) -> None:
    listening.setblocking(False)
    while True:
        try:
            descriptor, _ = listening._accept()  # type: ignore[attr-defined]
        except BlockingIOError:
            return
        os.close(descriptor)


def main() -> None:
    """Measure and print."""
    with Lab(main="both") as lab:
        root = lab.path("/sys/fs/cgroup")

        def inside(told: frozenset[Owned]) -> dict[str, list[tuple[int, int]]]:
            Path(lab.machine.procs).write_text("0")
            with open(f"/proc/{lab.machine.pid}/ns/net") as network:
                namespaces.setns(network.fileno(), namespaces.NEWNET)
            return _pairs(root, told)

        for what, told in (("nothing changes", frozenset[Owned]()), ("with the programs", _TOLD)):
            for name, pairs in in_child(partial(inside, told), patience=300).items():
                without, more = (
                    statistics.median(w for w, _ in pairs),
                    statistics.median(b - a for a, b in pairs),
                )
                print(f"{what:18} {name:42} {without:8.0f} ns {more:+6.0f} ns {more / without:+7.1%}")


if __name__ == "__main__":
    main()
