"""Calls from the lab's owner to its processes: one JSON line each way over a Unix stream socket.

    {"op": "packets", "args": {}}  →  {"result": [...]}  or  {"error": "FileNotFoundError: ..."}

A reply may carry file descriptors. One call at a time; the lock makes it so.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from procroute.errors import ProcrouteError
from procroute.lab.patience import FACTOR

Operation = Callable[..., object]


class Channel:
    """The calling end."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self._sock = sock
        self._name = name
        self._lock = threading.Lock()
        self._received: list[int] = []

    def call(self, op: str, timeout: float = 30, **args: object) -> Any:
        """Run `op` in the other process; its result as JSON gives it back.

        Raises ProcrouteError("lab-failed") when the operation raised, or the process is gone or silent.
        """
        with self._lock:
            return self._call(op, timeout, args)

    def call_for_sockets(self, op: str, **args: object) -> tuple[Any, list[socket.socket]]:
        """Like `call`, for operations that also hand over sockets."""
        with self._lock:
            result = self._call(op, 30, args)
            fds, self._received = self._received, []
            return result, [socket.socket(fileno=fd) for fd in fds]

    def _call(self, op: str, timeout: float, args: dict[str, object]) -> Any:
        self._sock.settimeout(timeout * FACTOR)
        data = bytearray()
        try:
            self._sock.sendall(json.dumps({"op": op, "args": args}).encode() + b"\n")
            while not data.endswith(b"\n"):
                chunk, fds, _, _ = socket.recv_fds(self._sock, 1 << 20, 16)
                self._received += fds
                if not chunk:
                    raise ConnectionError("it is gone")
                data += chunk
        except OSError as error:
            raise ProcrouteError(
                "lab-failed", f"the lab's {self._name} does not answer to {op}: {error}"
            ) from error
        reply = json.loads(data)
        if "error" in reply:
            raise ProcrouteError("lab-failed", f"the lab's {self._name}: {op}: {reply['error']}")
        return reply["result"]

    def hang_up(self) -> None:
        """Tell the other end that nothing more comes; takes no lock, so a signal handler may do it."""
        with contextlib.suppress(OSError):  # it is closed, or the other end is
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up; the other end sees it."""
        self._sock.close()


def refuse(sock: socket.socket, error: BaseException) -> None:
    """Answer every call with `error` until the caller hangs up: for a process that could not get ready."""
    data = json.dumps({"error": _told(error)}).encode() + b"\n"
    try:
        while sock.recv(1 << 16):
            sock.sendall(data)
    except ConnectionError:
        return


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


class Callee:
    """The answering end: `step` whenever the socket is readable."""

    def __init__(self, sock: socket.socket, operations: Mapping[str, Operation]) -> None:
        self.sock = sock
        self._operations = operations
        self._data = bytearray()
        self.fds_to_pass: list[int] = []

    def step(self) -> bool:
        """Read what is there and answer whole calls; False when the caller has hung up."""
        try:
            chunk = self.sock.recv(1 << 16)
        except ConnectionError:
            return False
        if not chunk:
            return False
        self._data += chunk
        while b"\n" in self._data:
            line, _, rest = self._data.partition(b"\n")
            self._data = bytearray(rest)
            try:
                self._answer(json.loads(line))
            except ConnectionError:  # it hung up before it had the answer
                return False
        return True

    def _answer(self, call: dict[str, Any]) -> None:
        reply: dict[str, object]
        try:
            reply = {"result": self._operations[call["op"]](**call["args"])}
        except Exception as error:  # noqa: BLE001 - whatever it was, the caller is told
            reply = {"error": _told(error)}
        data = json.dumps(reply).encode() + b"\n"
        fds, self.fds_to_pass = self.fds_to_pass, []
        try:
            sent = socket.send_fds(self.sock, [data], fds) if fds else 0
            self.sock.sendall(data[sent:])
        finally:
            for fd in fds:
                socket.close(fd)
