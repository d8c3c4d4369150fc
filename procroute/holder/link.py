"""The daemon's side of the holder.

    link = opened()                  # connected to the holder, which is started where there is none
    link.hold(rules)
    for said in link.hear():         # when it is readable
        if isinstance(said, Exec):
            …                        # place said.pid, if it still began at said.began
            link.answer(said.event, allow=True)

When the holder has ended `hear` raises EOFError: the kernel has let all execs go on, and nothing is held
until `opened` and `hold` are called again.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from procroute.core.hold_rules import HoldRule
from procroute.errors import ProcrouteError
from procroute.holder import words
from procroute.places import HOLD_SOCKET

_ROOT: Final = str(Path(__file__).resolve().parents[2])
_SECONDS: Final = 10.0
_SEND_SECONDS: Final = 2.0
_TIME: Final = struct.Struct("@ll")


def lives() -> bool:
    """Whether a holder lives: it listens, and nobody calls it in asking (/proc/net/unix, unix(7))."""
    try:
        lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.endswith(f" {HOLD_SOCKET}") for line in lines)


class Link:
    """A connection to the holder. All raises EOFError when it has ended, OSError when it does not listen.

    For one thread, but for `answer`.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._one = threading.Lock()  # or an answer might go to who gets the number of what is closed
        self._number = 0

    def fileno(self) -> int:
        """For poll(2)."""
        return self._connection.fileno()

    def close(self) -> None:
        """Hang up: the holder goes on by `when_down` of its rules, and ends where it has none."""
        with self._one:
            self._connection.close()

    def hold(self, rules: Iterable[HoldRule]) -> int:
        """Hold execs by these rules from now on, and by no others; `Holding` is said when it is so.

        Its number: what this gives.
        """
        self._number += 1
        for packet in words.hold(rules, self._number):
            self._send(packet)
        return self._number

    def answer(self, event: int, *, allow: bool) -> None:
        """Let an exec go on, or fail with EPERM; one that was answered already is fine."""
        self._send(words.encode("answer", event=event, allow=allow))

    def busy(self, events: Iterable[int]) -> None:
        """These are being answered, and it takes longer."""
        self._send(words.encode("busy", events=list(events)))

    def hear(self) -> Iterator[words.Said]:
        """What the holder has said."""
        while True:
            try:
                packet = self._connection.recv(words.ROOM, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionResetError:
                packet = b""
            if not packet:
                raise EOFError
            found = words.said(packet)
            if isinstance(found, words.Decided):
                self._send(words.encode("here"))
            if found is not None:
                yield found

    def _send(self, packet: bytes) -> None:
        try:
            with self._one:
                self._connection.send(packet)
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError from None


def connected() -> Link | None:
    """A connection to the holder that runs, or None: there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(_SEND_SECONDS)
    try:
        connection.connect(HOLD_SOCKET)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    connection.settimeout(None)  # Python would wait before each recv otherwise
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIME.pack(int(_SEND_SECONDS), 0))
    return Link(connection)


def opened() -> Link:
    """A connection to the holder, which is started where there is none. Raises ProcrouteError hold."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        try:
            if (link := connected()) is not None:
                return link
        except OSError as e:
            raise ProcrouteError("hold", f"{HOLD_SOCKET}: {e.strerror}") from e
        _start()
        time.sleep(0.01)
    raise ProcrouteError("hold", "the holder of execs ends at once", "its reason is in the daemon's log")


def _start() -> None:
    """Returns when it listens, or another one does. Raises ProcrouteError hold."""
    # By its folder: a virtual environment's packages are not needed, and site takes time and memory.
    done = subprocess.Popen(
        [sys.executable, "-S", "-s", "-m", "procroute.holder"],
        env=os.environ | {"PYTHONPATH": _ROOT},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        errors="replace",
    )
    try:
        reason, _ = done.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        done.kill()
        reason, _ = done.communicate()
        reason = reason or f"not done in {_SECONDS:.0f} s"
    if done.returncode:
        raise ProcrouteError(
            "hold",
            f"execs cannot be held: {reason or f'status {done.returncode}'}",
            "it takes a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS, and CAP_SYS_ADMIN",
        )
