"""Moves itself to a scope of its own, as flatpak, snap and `systemd-run --scope` do, then sends datagrams.

    leaver.py SOCKET UNIT V4 V6

SOCKET: the private one of a manager. Where that is not there it goes on where it is, as
flatpak does. Prints its PID once it is in place.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

from dbus_fast import Message, Variant


def move(path: str, unit: str) -> None:
    """Ask at a manager's private socket, which is no message bus: there is no Hello."""
    with socket.socket(socket.AF_UNIX) as bus:
        bus.settimeout(5)
        bus.connect(path)
        bus.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        answer = bus.recv(100)
        if not answer.startswith(b"OK"):
            sys.exit(f"refused: {answer!r}")
        message = Message(
            destination="org.freedesktop.systemd1",
            path="/org/freedesktop/systemd1",
            interface="org.freedesktop.systemd1.Manager",
            member="StartTransientUnit",
            signature="ssa(sv)a(sa(sv))",
            body=[unit, "fail", [["PIDs", Variant("au", [os.getpid()])]], []],
            serial=1,
        )
        bus.sendall(b"BEGIN\r\n" + bytes(message._marshall(False)))
        for _ in range(500):
            if unit in Path("/proc/self/cgroup").read_text():
                return
            time.sleep(0.01)
        sys.exit(f"not moved: {bus.recv(4000)!r}")


def main() -> None:
    private, unit, v4, v6 = sys.argv[1:]
    if Path(private).exists():
        move(private, unit)
    print(os.getpid(), flush=True)
    for _ in range(3000):
        for family, there in ((socket.AF_INET, v4), (socket.AF_INET6, v6)):
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                with contextlib.suppress(OSError):
                    s.sendto(b"x", (there, 9))
        time.sleep(0.01)


main()
