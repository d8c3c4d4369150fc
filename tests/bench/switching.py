"""How soon a route leaves by its next adapter when it loses the first one.

    python -m tests.bench.switching [--flaps 100] [--family 4] [--daemon]

A routed program pings without a pause while wan1 loses its carrier and gets it again. Prints, of the way to
wan2 and, with no hold time, of the way back: the milliseconds from the kernel's news (rtnetlink(7)) to the
first packet on the other adapter, as a listener of its own sees both; and beside it from the news to the
first ping that was sent after it and answered.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from procroute.kernel.netlink import messages
from procroute.lab import Lab, namespaces
from tests.netns.daemons import daemon
from tests.netns.running import ENVIRONMENT, run_by
from tests.netns.traffic import SERVER
from tests.netns.uplinks import configured, failing_over

LIMIT_MS: Final = 50.0
_SECONDS: Final = 10.0
_LINK, _ENTRY = 16, 24
_PINGING: Final = [sys.executable, "-S", str(Path(__file__).with_name("pinging.py"))]
_ETHERTYPE: Final = {4: 0x0800, 6: 0x86DD}
_TO: Final = {4: slice(16, 20), 6: slice(24, 40)}
_OURS: Final = 112


class Watch:
    """Notes news of wan1 and packets to the pinged address on wan1 and wan2 (CLOCK_MONOTONIC)."""

    def __init__(self, lab: Lab, family: int) -> None:
        self.news: list[float] = []
        self.packets: dict[str, list[float]] = {"wan1": [], "wan2": []}
        self._family = family
        self._to = socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, SERVER[family])
        self._index = int(lab.sh("cat /sys/class/net/wan1/ifindex"))
        self._over = threading.Event()
        self._ready = threading.Event()
        self._threads = [
            threading.Thread(target=self._listen, args=(lab.machine.pid, name), daemon=True)
            for name in ("", *self.packets)
        ]
        for thread in self._threads:
            self._ready.clear()
            thread.start()
            assert self._ready.wait(5)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(5)

    def _listen(self, pid: int, adapter: str) -> None:
        with open(f"/proc/{pid}/ns/net") as network:
            namespaces.setns(network.fileno(), namespaces.NEWNET)  # of this thread only
        with contextlib.closing(self._packets_of(adapter) if adapter else self._netlink()) as heard:
            heard.settimeout(0.1)
            self._ready.set()
            while not self._over.is_set():
                with contextlib.suppress(TimeoutError):
                    data, where = heard.recvfrom(1 << 16)
                    now = time.monotonic()
                    if not adapter:
                        self.news += [now for kind, body in messages(data) if self._is_news(kind, body)]
                    elif where[2] == socket.PACKET_OUTGOING and data[_TO[self._family]] == self._to:
                        self.packets[adapter].append(now)

    def _is_news(self, kind: int, body: bytes) -> bool:
        """Of the link, or a default of main's that is back."""
        if kind == _LINK:
            return bool(struct.unpack_from("=i", body, 4)[0] == self._index)
        return kind == _ENTRY and body[4] == 254 and body[5] != _OURS

    @staticmethod
    def _netlink() -> socket.socket:
        heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        heard.bind((0, 0))
        for group in (1, 7, 11):
            heard.setsockopt(270, 1, group)
        return heard

    def _packets_of(self, adapter: str) -> socket.socket:
        heard = socket.socket(
            socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)
        )  # ETH_P_ALL: outgoing, too
        heard.bind((adapter, 3))
        return heard


def switched(watch: Watch, change: Callable[[], None], adapter: str, *, last: bool) -> tuple[float, float]:
    """Have it happen; when the news came, and the first packet on the adapter after it. last: the last news
    before that packet count: it takes several for an adapter to be a way out again."""
    began = time.monotonic()
    change()
    deadline = began + _SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.005)
        news = [at for at in watch.news if at >= began]
        packet = next((at for at in watch.packets[adapter] if news and at > news[0]), None)
        if packet is not None:
            before = [at for at in news if at <= packet]
            return before[-1 if last else 0], packet
    raise SystemExit(f"nothing left by {adapter} within {_SECONDS:.0f} s")


def told(name: str, times: list[float], limit: float | None = None) -> None:
    """A line."""
    ms = sorted(1000 * t for t in times)
    p99 = ms[math.ceil(0.99 * len(ms)) - 1]  # nearest rank
    said = f" (limit of the median {limit:.0f})" if limit else ""
    print(
        f"{name}: median {statistics.median(ms):.1f} ms, p99 {p99:.1f}, most {ms[-1]:.1f}{said}", flush=True
    )


def measure(lab: Lab, family: int, flaps: int) -> None:
    """Flap and print."""
    pipe = subprocess.PIPE
    words = [*run_by("several"), *_PINGING, SERVER[family]]
    pinging = lab.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe)
    assert pinging.stdout
    pinging.stdout.readline()
    watch = Watch(lab, family)
    away, back = [], []
    for _ in range(flaps):
        time.sleep(random.uniform(0.1, 0.3))
        away.append(switched(watch, lambda: lab.wan1.carrier(False), "wan2", last=False))
        time.sleep(random.uniform(0.1, 0.3))
        back.append(switched(watch, lab.wan1.restore, "wan1", last=True))
    watch.end()
    answered = json.loads(pinging.communicate()[0].splitlines()[-1])
    print(f"IPv{family}, {flaps} flaps, load {os.getloadavg()[0]:.1f}")
    told("from the news to the first packet on the next adapter", [p - n for n, p in away], LIMIT_MS)
    told("from the news to the first answered ping", [_answer(answered, n) - n for n, _ in away])
    told("and back", [p - n for n, p in back])


def _answer(answered: list[tuple[float, float]], after: float) -> float:
    return next(came for sent, came in answered if sent > after)


def main() -> None:
    """Route, flap, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flaps", type=int, default=100)
    parser.add_argument("--family", type=int, choices=(4, 6), default=4)
    parser.add_argument("--daemon", action="store_true", help="by procrouted, not by run alone")
    options = parser.parse_args()
    with (
        Lab(main="both") as lab,
        configured(lab, failing_over("wan1", "wan2", hold=0)),
        daemon(lab) if options.daemon else contextlib.nullcontext(),
    ):
        measure(lab, options.family, options.flaps)


if __name__ == "__main__":
    main()
