"""Who is behind a netlink socket's port, by which the kernel tells of who changed something.

The kernel gives a process's first socket its pid as port (as its pid namespace counts), and others numbers
that no pid has (net/netlink/af_netlink.c, netlink_autobind); a program may choose another. So a pid is what
is likely, until that process is seen to have the socket. Processes end: ask at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from procroute.core.damage import Author
from procroute.kernel.rtnetlink import OWN_PORTS

KERNEL: Final = Author(of_kernel=True, sure=True)
OURS: Final = Author(ours=True, sure=True)
_PIDS: Final = 1 << 22  # proc(5), pid_max: the most there can be
_INITIAL: Final = 0xEFFF_FFFC  # linux/proc_ns.h, PROC_PID_INIT_INO
_OURS: Final = ("procroute", "procrouted")


def of_port(protocol: int, port: int) -> Author:
    """Who has a port of a netlink protocol now, looked for where that is cheap."""
    if not port:
        return KERNEL
    if port in OWN_PORTS or port == os.getpid():
        return OURS
    if port >= _PIDS:
        return _by_first_socket(protocol, port)
    found = _process(port)
    inode = _inode(protocol, port) if found.name else ""
    return Author(port, found.name, ours=found.ours, sure=bool(inode) and _has(port, inode), port=port)


def of_transaction(port: int, pid: int, name: str) -> Author:
    """Who changed the nft ruleset: as the kernel counts all pids, and by the name of a thread."""
    if os.path.exists(f"/proc/self/task/{pid}") and _is_initial():
        return OURS
    if not _is_initial():
        pid = port if port < _PIDS else 0
    found = _process(pid) if pid else Author()
    return Author(pid, name, ours=found.ours, sure=True, port=port)


def found(protocol: int, author: Author) -> Author:
    """The same with a pid and a name where it had none, if a process has the port still: looks at all."""
    inode = "" if author.pid or author.of_kernel or author.ours else _inode(protocol, author.port)
    everybody = (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())
    return _among(everybody, author.port, inode) if inode else author


def _by_first_socket(protocol: int, port: int) -> Author:
    """The one with that port, if it has another socket with its pid as port: few have."""
    inode = _inode(protocol, port)
    pids = dict.fromkeys(int(p) for _, p, _ in _sockets() if 0 < int(p) < _PIDS)
    return _among(reversed(pids), port, inode) if inode else Author(port=port)


def _among(pids: Iterable[int], port: int, inode: str) -> Author:
    for pid in pids:
        if _has(pid, inode):
            known = _process(pid)
            return Author(pid, known.name, ours=known.ours, sure=True, port=port)
    return Author(port=port)


def _is_initial() -> bool:
    """Whether pids are here what they are to the kernel."""
    return os.stat("/proc/self/ns/pid").st_ino == _INITIAL


def _process(pid: int) -> Author:
    """Its name, and whether it is a procroute; nothing where it has ended."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n")
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return Author()
    return Author(pid, name, ours=is_ours([os.fsdecode(word) for word in words]))


def is_ours(words: Sequence[str]) -> bool:
    """Whether a command line is procroute's: of the script, by its interpreter, or of `python -m`."""
    if os.path.basename(words[0]).startswith("python"):
        after = next((n for n, w in enumerate(words[1:], 1) if not w.startswith("-") or w == "-m"), 0)
        if words[after] == "-m":
            return after + 1 < len(words) and words[after + 1] in _OURS
        return os.path.basename(words[after]) in _OURS
    return os.path.basename(words[0]) in _OURS


def _inode(protocol: int, port: int) -> str:
    """By what a socket's descriptors are known (proc(5), /proc/net/netlink); empty where it is gone."""
    for protocol_, port_, inode in _sockets():
        if (protocol_, port_) == (str(protocol), str(port)):
            return inode
    return ""


def _sockets() -> Iterator[tuple[str, str, str]]:
    try:
        lines = Path("/proc/net/netlink").read_text().splitlines()[1:]
    except OSError:
        return
    for words in map(str.split, lines):
        yield words[1], words[2], words[9]


def _has(pid: int, inode: str) -> bool:
    """Whether a process has this socket open."""
    folder = f"/proc/{pid}/fd"
    try:
        return any(_leads_to(f"{folder}/{entry}", inode) for entry in os.listdir(folder))
    except OSError:
        return False


def _leads_to(link: str, inode: str) -> bool:
    try:
        return os.readlink(link) == f"socket:[{inode}]"
    except OSError:
        return False
