"""A program that speaks without a pause, to wherever it was told last, and answers as probe.py does.

    {"how": "speak", "to": ["198.18.0.7", "2001:db8:ffff::7"], "kept": [...],
     "name": "p7.soak.test", "servers": [...]}
    {"how": "renew"}                                      all sockets that it speaks by are new ones
    {"how": "bear", "name": "child"}                      a child that is such a program, too
    {"how": "of", "name": "child", "request": {...}}      ask that one

It makes new flows by TCP, connected and unconnected UDP; sends to the addresses `kept` on UDP sockets that it
keeps; and asks name servers for NAME. It waits for no answer. Standard library only.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.netns import probe
from tests.netns.lookups import question

BETWEEN = 0.02
"""Seconds between two things that it sends."""
_OPEN = 32
_PORTS = {"dns": 53}


class Speaker:
    """What it says is said under its lock: after `speak` nothing more goes to where it spoke before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._to: list[str] = []
        self._to_kept: list[str] = []
        self._servers: list[str] = []
        self._name = ""
        self._held: deque[socket.socket] = deque()
        self._kept: dict[socket.AddressFamily, socket.socket] = {}
        self._children: dict[str, subprocess.Popen[str]] = {}
        threading.Thread(target=self._speak_on, daemon=True).start()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request."""
        ways: dict[str, Callable[..., dict[str, Any]]] = {
            "speak": self.speak,
            "renew": self.renew,
            "bear": self.bear,
            "of": self.of,
        }
        how = request["how"]
        if how not in ways:
            return probe.answer(request)
        del request["how"]
        return ways[how](**request)

    def speak(self, to: list[str], kept: list[str], name: str, servers: list[str]) -> dict[str, Any]:
        """Speak to these from now on."""
        with self._lock:
            self._to, self._to_kept, self._name, self._servers = to, kept, name, servers
        return {}

    def renew(self) -> dict[str, Any]:
        """Close what is open."""
        with self._lock:
            for sock in (*self._held, *self._kept.values()):
                sock.close()
            self._held.clear()
            self._kept.clear()
        return {}

    def bear(self, name: str) -> dict[str, Any]:
        """A child."""
        pipe = subprocess.PIPE
        words = [sys.executable, "-S", "-m", "tests.soak.speaker"]
        self._children[name] = child = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)
        return {"pid": child.pid}

    def of(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Pass on a request; "end": until the child has ended."""
        child = self._children[name]
        assert child.stdin
        assert child.stdout
        if request["how"] == "end":
            child.stdin.close()
            del self._children[name]
            return {"said": str(child.wait())}
        child.stdin.write(json.dumps(request) + "\n")
        child.stdin.flush()
        return dict(json.loads(child.stdout.readline()))

    def _speak_on(self) -> None:
        for kind in itertools.cycle(("tcp", "udp", "unconnected", "kept", "dns")):
            with self._lock:
                to = {"dns": self._servers, "kept": self._to_kept}.get(kind, self._to)
                for address in to:
                    with contextlib.suppress(OSError):
                        self._send(kind, address)
            time.sleep(BETWEEN)

    def _send(self, kind: str, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = self._kept.get(family) if kind == "kept" else None
        if sock is None:
            sock = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
            sock.setblocking(False)
            if kind == "kept":
                self._kept[family] = sock
            else:
                self._held.append(sock)
                if len(self._held) > _OPEN:
                    self._held.popleft().close()
        to = (address, _PORTS.get(kind, probe.WHO))
        if kind in ("tcp", "udp"):
            sock.connect(to)
        if kind != "tcp":
            said = question(self._name) if kind == "dns" else b"who"
            sock.send(said) if kind == "udp" else sock.sendto(said, to)


def main() -> None:
    """Answer requests until there are no more."""
    speaker = Speaker()
    for line in sys.stdin:
        print(json.dumps(speaker.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
