"""Look-ups of a command, in every way that a program has; who answered them, and where the questions left."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from procroute.lab import WAN1, WAN2, Lab
from procroute.lab.commands import Process
from procroute.lab.names import WHO
from tests.netns.running import ENVIRONMENT, run_by

LOOKUPS: Final = [sys.executable, "-S", str(Path(__file__).with_name("lookups.py"))]
# What the machine's resolv.conf names first: both lie on the LAN of wan2.
SYSTEM4, SYSTEM6 = WAN2.dns4, WAN2.dns6
OURS4, OURS6 = WAN1.dns4, WAN1.dns6
BY_GLIBC: Final = ("glibc", "4", "glibc", "6")
TO_SYSTEM4: Final = ("connected", SYSTEM4, "sent", SYSTEM4, "tcp", SYSTEM4, "mapped", f"::ffff:{SYSTEM4}")
TO_SYSTEM6: Final = ("connected", SYSTEM6, "sent", SYSTEM6, "tcp", SYSTEM6)
EVERY_WAY: Final = (*BY_GLIBC, *TO_SYSTEM4, *TO_SYSTEM6)
_STUB = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("up", flush=True)
while True:
    s.recvfrom(4096)
    open("/tmp/asked", "a").write("x")
"""
_FORWARDER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("up", flush=True)
while True:
    question, client = s.recvfrom(4096)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as up:
        up.sendto(question, (sys.argv[2], 53))
        s.sendto(up.recv(4096), client)
"""
_DAEMON = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
s.listen()
print("up", flush=True)
while True:
    client = s.accept()[0]
    open("/tmp/asked", "a").write("x")
    client.close()
"""


def look_up(lab: Lab, *ways: str, by: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """What each way of asking gave; by: the words before the program. Captures hold only this."""
    lab.clear()
    done = lab.run([*by, *LOOKUPS, WHO, *ways], env=ENVIRONMENT, check=True)
    lab.settle()
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {answer.pop("way"): answer for answer in answers}


def astray(lab: Lab, adapter: str = "wan1") -> list[str]:
    """Questions that came out anywhere but by `adapter`, on the wire."""
    return [
        f"{name}: {packet}"
        for name, uplink in lab.uplinks.items()
        if name != adapter
        for packet in uplink.packets(port=53)
    ]


def wrong(answers: dict[str, dict[str, str]], router: str = "wan1") -> list[str]:
    """Which answers are not from `router`, or seem to come from somebody who was not asked."""
    found = []
    for way, answer in answers.items():
        kind, _, asked = way.partition(" ")
        sender = "" if kind == "glibc" else asked
        if answer["error"] or answer["router"] != router or answer["sender"] != sender:
            found.append(f"{way}: {answer}")
    return found


@contextmanager
def stub_machine(resolv_conf: str = "nameserver 127.0.0.53\noptions edns0 trust-ad\n") -> Iterator[Lab]:
    """A machine like those of systemd-resolved: /etc/resolv.conf is a link to a file that names the stub."""
    with Lab() as lab:
        lab.sh(
            "mkdir -p /run/systemd/resolve; ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf"
        )
        lab.path("/run/systemd/resolve/stub-resolv.conf").write_text(resolv_conf)
        yield lab


@contextmanager
def running(lab: Lab, *options: str, command: Sequence[str] = ()) -> Iterator[Process]:
    """While a command by wan1 runs; given one, it starts when it is let: write a line on its stdin."""
    waits = ["sh", "-c", 'echo up; read go; exec "$@"', "sh", *(command or ["cat"])]
    process = lab.popen([*run_by("wan1", *options), *waits], env=ENVIRONMENT, stdin=-1, stdout=-1)
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    try:
        yield process
    finally:
        process.stdin.close()
        status = process.wait(10)
        process.stdout.close()
    assert status == 0


def answering(lab: Lab, where: str) -> AbstractContextManager[None]:
    """A program that takes questions at an address or a Unix socket and notes that it was asked."""
    return _serving(lab, _DAEMON if where.startswith("/") else _STUB, where)


def forwarding(lab: Lab, where: str, server: str) -> AbstractContextManager[None]:
    """A stub that has a name server answer."""
    return _serving(lab, _FORWARDER, where, server)


@contextmanager
def _serving(lab: Lab, code: str, *arguments: str) -> Iterator[None]:
    process = lab.popen([sys.executable, "-S", "-c", code, *arguments], stdout=-1)
    assert process.stdout
    try:
        assert process.stdout.readline() == "up\n"
        yield
    finally:
        process.kill_session()
        process.wait(5)
        process.stdout.close()


def asked(lab: Lab) -> bool:
    """Whether somebody was asked since the last call."""
    note = lab.path("/tmp/asked")
    there = note.exists()
    note.unlink(missing_ok=True)
    return there
