"""What the kernel says of a process: whose it is, and whether it can be moved at all (proc(5))."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from procroute.kernel.process_stat import stat

_PEER = struct.Struct("3i")
_SO_PEERPIDFD = 77  # include/uapi/asm-generic/socket.h
WORDS: Final = 4096
"""So many bytes of a command line are kept and told: whoever runs something may give it two million."""


class Facts(Struct, frozen=True):
    """A living process. uids: real, effective and saved. began: clock ticks since boot, tells pids apart.

    namespace: the inode of its network namespace. of_kernel: a kernel thread.
    """

    pid: int
    name: str
    uids: tuple[int, int, int]
    began: int
    namespace: int
    of_kernel: bool


def peer(connection: socket.socket) -> tuple[int, int, int]:
    """The pid, uid and start time of who connected (unix(7), SO_PEERCRED).

    pid 0: not visible from here. began 0: it has ended, and its number may be another's.
    """
    pid, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    found = facts(pid) if pid else None
    return pid, uid, found.began if found is not None and _connected(connection, pid) else 0


def _connected(connection: socket.socket, pid: int) -> bool:
    """Whether it is still that process which has the number; taken for granted before Linux 6.5."""
    try:
        pidfd = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as e:
        return e.errno == errno.ENOPROTOOPT
    try:
        return pidfd >= 0 and f"Pid:\t{pid}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    finally:
        os.close(pidfd)


def facts(pid: int) -> Facts | None:
    """What is known of a process; None where there is none, or a zombie."""
    try:
        found, status = stat(pid), _status(pid)
        # A thread's number has a folder as well, but is no process.
        if found.ended or status["Tgid"] != str(pid):
            return None
        namespace = 0 if found.of_kernel else namespace_of(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    real, effective, saved, _ = map(int, status["Uid"].split())
    return Facts(pid, found.name, (real, effective, saved), found.began, namespace, found.of_kernel)


def namespace_of(pid: int | Literal["self"]) -> int:
    """The inode of the network namespace of a process, or of our own. Raises OSError."""
    return os.stat(f"/proc/{pid}/ns/net").st_ino


def why_not(pid: int) -> tuple[str, str]:
    """Why there are no facts of a process, in words, and what helps."""
    try:
        status = _status(pid)
    except (FileNotFoundError, ProcessLookupError):
        return f"there is no process {pid}", "ps(1) lists them; it may have ended"
    if status["Tgid"] != str(pid):
        return f"{pid} is a thread of process {status['Tgid']}", f"name that: {status['Tgid']}"
    return f"process {pid} has ended (a zombie)", f"its parent, {status['PPid']}, has not been told yet"


def named(name: str) -> Iterator[int]:
    """The processes of this name, as ps(1) shows it (proc(5), comm), or of a program so called."""
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and name in _names(int(entry)):
            yield int(entry)


def name_of(pid: int) -> str:
    """Its name; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return ""


def command_of(pid: int, most: int = WORDS) -> list[str]:
    """Its command line, of that so many bytes at most; empty where it has ended."""
    try:
        with Path(f"/proc/{pid}/cmdline").open("rb") as file:
            return words_of(file.read(most))
    except OSError:
        return []


def words_of(text: bytes) -> list[str]:
    """The words of a command line (proc(5), /proc/PID/cmdline): the last may be cut, or without its end."""
    words = text.split(b"\0")
    if not words[-1]:
        words.pop()
    return [word.decode(errors="replace") for word in words]


def _names(pid: int) -> set[str]:
    """comm is cut at 15 bytes: the program's own file name counts as well."""
    names = {name_of(pid)}
    try:
        names.add(os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)"))
    except OSError:
        pass
    return names - {""}


def _status(pid: int) -> dict[str, str]:
    """/proc/PID/status, by the words before the colons. Raises OSError."""
    text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    # Of what ends a line for str.splitlines the kernel lets a name hold all but one.
    return dict(line.split(":\t", 1) for line in text.split("\n") if ":\t" in line)
