"""Process 1 of the machine: makes its file-system view, reaps orphans, and does what must be done inside.

Runs as a forked child of the keeper, first process of a pid namespace.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
from pathlib import Path
from typing import Any, Final

from procroute.lab import attached, cgroups, file_systems, namespaces
from procroute.lab.capture import MARKER
from procroute.lab.channel import Callee

SESSION: Final = "session"
"""The cgroup, below the machine's root, in which commands are started."""
_INIT: Final = "init"


def run(sock: socket.socket, cgroup: Path, options: dict[str, Any]) -> None:
    """The life of the machine's init. options: what file_systems.prepare takes, and "sysctls"."""
    namespaces.die_with_parent(signal.SIGKILL)
    cgroups.join(cgroup)
    own = (namespaces.NEWNS, namespaces.NEWNET, namespaces.NEWCGROUP, namespaces.NEWUTS, namespaces.NEWIPC)
    namespaces.unshare(sum(own))
    namespaces.set_hostname("machine")
    sysctls: dict[str, str] = options.pop("sysctls")
    root = file_systems.prepare(**options)
    for name in (SESSION, _INIT):
        (root / name).mkdir()
    cgroups.join(root / _INIT)  # as on a real machine: the root holds no process
    for path, value in sysctls.items():
        Path("/proc/sys", path).write_text(value)
    Init(sock, root).serve()


class Init:
    """What the owner may ask of the machine itself."""

    def __init__(self, sock: socket.socket, cgroup_root: Path) -> None:
        self._root = cgroup_root
        self._callee = Callee(
            sock,
            {
                "ready": lambda: True,
                "mark": mark,
                "pending": pending_neighbours,
                "sysctls": sysctls,
                "attached": lambda: attached.programs(self._root),
                "cgroups": self._cgroups,
                "set": _set_sysctl,
                "quicken": _quicken,
            },
        )

    def serve(self) -> None:
        """Answer the owner and reap whatever ends here, until the owner hangs up."""
        selector = selectors.DefaultSelector()
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        selector.register(read, selectors.EVENT_READ)
        selector.register(self._callee.sock, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == read:
                    os.read(read, 4096)
                    _reap()
                elif not self._callee.step():
                    return

    def _cgroups(self) -> list[str]:
        return sorted(
            "/" + os.path.relpath(directory, self._root).removeprefix(".")
            for directory, _, _ in os.walk(self._root)
        )


def mark(token: str) -> dict[str, int]:
    """Send a marker frame with `token` (32 hex digits) by every adapter with a carrier, once from each CPU.

    Each CPU queues received frames by itself: what it queued before its marker comes before it.
    How many markers were sent, by adapter.
    """
    adapters = [name for name in os.listdir("/sys/class/net") if name != "lo" and _has_carrier(name)]
    sent = dict.fromkeys(adapters, 0)

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock:
            for cpu in sorted(os.sched_getaffinity(0)):
                os.sched_setaffinity(0, {cpu})
                for adapter in adapters:
                    try:
                        sock.sendto(bytes.fromhex(token), (adapter, MARKER, 0, 0, b"\xff" * 6))
                        sent[adapter] += 1
                    except OSError:  # it went down this moment
                        continue

    # a thread of its own: the change of CPU affinity ends with it
    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    return sent


def _has_carrier(adapter: str) -> bool:
    try:
        return Path("/sys/class/net", adapter, "carrier").read_text().strip() == "1"
    except OSError:  # EINVAL: the adapter is down
        return False


def pending_neighbours() -> int:
    """How many neighbours are being asked for: packets may wait for each.

    Source: rtnetlink(7), RTM_GETNEIGH.
    """
    incomplete = 0x01
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        # nlmsghdr: length, RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, sequence, port; then an empty ndmsg
        sock.send(
            (28).to_bytes(4, "little")
            + (30).to_bytes(2, "little")
            + (0x301).to_bytes(2, "little")
            + bytes(8 + 12)
        )
        found = 0
        while True:
            data = sock.recv(1 << 16)
            at = 0
            while at + 16 <= len(data):
                length, kind = (
                    int.from_bytes(data[at : at + 4], "little"),
                    int.from_bytes(data[at + 4 : at + 6], "little"),
                )
                if kind != 28:  # not RTM_NEWNEIGH: done, or an error
                    return found
                # ndmsg: family, 3 bytes of padding, ifindex, state
                found += bool(int.from_bytes(data[at + 24 : at + 26], "little") & incomplete)
                at += (length + 3) & ~3


_VOLATILE: Final = frozenset({"net/netfilter/nf_conntrack_count"})


def sysctls() -> dict[str, str]:
    """Every readable net.* sysctl of the machine but those that count traffic, by path below /proc/sys."""
    found = {}
    for directory, _, files in os.walk("/proc/sys/net"):
        for name in files:
            path = os.path.join(directory, name)
            key = os.path.relpath(path, "/proc/sys")
            if key in _VOLATILE:
                continue
            try:
                fd = os.open(path, os.O_RDONLY)
            except OSError:
                continue
            try:
                found[key] = os.read(fd, 4096).decode(errors="replace").strip()
            except OSError:
                pass
            finally:
                os.close(fd)
    return found


def _set_sysctl(path: str, value: str) -> None:
    Path("/proc/sys", path).write_text(value)


def _quicken(adapter: str) -> None:
    """Ask an adapter's neighbours 4 times as fast as by default, so that one that is gone is soon known."""
    for family in ("ipv4", "ipv6"):
        path = Path(f"/proc/sys/net/{family}/neigh/{adapter}/retrans_time_ms")
        if path.exists():
            path.write_text("250")


def _reap() -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return
