"""How long after a netlink event what is ours was changed, told by a listener of its own (rtnetlink(7)).

with Stopwatch(lab) as watch:
    watch.begin()
    lab.ip("route replace default via 198.51.100.9 dev wan1")
    ...
    watch.milliseconds(GATEWAYS)
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

from procroute.kernel.netlink import messages
from procroute.lab import Lab, namespaces
from procroute.lab.patience import FACTOR

_OURS: Final = 112
_MAIN: Final = 254
# linux/rtnetlink.h
LINKS: Final = frozenset({16, 17})
ADDRESSES: Final = frozenset({20, 21})
ENTRIES: Final = frozenset({24, 25})
_RULES: Final = frozenset({32, 33})
_GROUPS: Final = (1, 5, 7, 8, 9, 11, 19)
_FRA_PROTOCOL: Final = 21


class Stopwatch:
    """Listens in the lab's machine and notes when (CLOCK_MONOTONIC) which message came."""

    def __init__(self, lab: Lab) -> None:
        self._seen: list[tuple[float, int, bool]] = []
        self._right = 0.0
        self._ended = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(lab.machine.pid,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(5 * FACTOR)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(5 * FACTOR)

    def begin(self) -> None:
        """Forget what came so far."""
        self._seen.clear()
        self._right = 0.0

    def wait(self, right: Callable[[], bool], seconds: float = 5) -> None:
        """Look often until it is right: for what no message tells of. Then wait until messages pause."""
        end = time.monotonic() + seconds * FACTOR
        while not right():
            assert time.monotonic() < end, "it did not become right"
            time.sleep(0.002)
        self._right = time.monotonic()
        while time.monotonic() < end and not self._paused():
            time.sleep(0.01)

    def _paused(self) -> bool:
        return bool(self._seen) and time.monotonic() - self._seen[-1][0] >= 0.15 * FACTOR

    def milliseconds(self, awaited: frozenset[int], looked: bool) -> float:
        """From the last event of these kinds that is not ours to the last change of ours.

        looked: also to when `wait` found it right. An event after it counts for nothing.
        """
        ours = max((at for at, _, mine in self._seen if mine), default=0.0)
        done = max(ours, self._right if looked else 0.0)
        events = [at for at, kind, mine in self._seen if not mine and kind in awaited and at <= done]
        assert events, "nothing of ours followed an event"
        return (done - events[-1]) * 1000

    def _listen(self, pid: int) -> None:
        with open(f"/proc/{pid}/ns/net") as network:
            namespaces.setns(network.fileno(), namespaces.NEWNET)  # of this thread only
        with contextlib.closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)) as heard:
            heard.bind((0, 0))
            heard.settimeout(0.1)
            for group in _GROUPS:
                heard.setsockopt(270, 1, group)
            self._ready.set()
            while not self._ended.is_set():
                with contextlib.suppress(TimeoutError):
                    data = heard.recv(1 << 17)
                    now = time.monotonic()
                    self._seen += [(now, kind, mine) for kind, mine in _told(data)]


def _told(data: bytes) -> Iterator[tuple[int, bool]]:
    """The type of each message that is about main, an address or a link, or is ours; and whether it is."""
    for kind, body in messages(data):
        if kind in ENTRIES:
            table, protocol = body[4], body[5]  # struct rtmsg
            if protocol == _OURS or table == _MAIN:
                yield kind, protocol == _OURS
        elif kind in _RULES:
            yield kind, _protocol_of_rule(body) == _OURS
        elif kind in LINKS | ADDRESSES:
            yield kind, False


def _protocol_of_rule(body: bytes) -> int:
    attributes = body[12:]
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == _FRA_PROTOCOL:
            return attributes[4]
        attributes = attributes[max(4, (length + 3) & ~3) :]
    return 0
