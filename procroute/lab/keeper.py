"""The process that holds a lab together: forks the machine and the nodes, outlives a killed owner, cleans up.

    python -m procroute.lab.keeper FD OWNER      FD: its end of the channel to the owner; OWNER: whose pid

It watches its owner's pidfd: a lab ends with the process that made it, even with kill -9, at any moment. If
the keeper itself is killed, the kernel takes its children along, and the next lab sweeps the empty cgroup.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from procroute.lab import cgroups, machine_init, namespaces, node
from procroute.lab.channel import Callee, refuse

Life = Callable[[socket.socket, Path, dict[str, Any]], None]


class Keeper:
    """The keeper's operations. Children get a channel of their own, handed to the owner.

    machine: the life of the machine's process 1.
    """

    def __init__(self, sock: socket.socket, machine: Life) -> None:
        self._life = machine
        self._children: list[int] = []
        namespaces.unshare(namespaces.NEWNS)
        namespaces.mount("none", "/", None, namespaces.MS_REC | namespaces.MS_PRIVATE)
        parent = cgroups.own_path()
        cgroups.mount_private()
        self.top = cgroups.make(cgroups.MOUNT / parent)
        self._callee = Callee(sock, {"machine": self._machine, "node": self._node})

    def serve(self, owner: int) -> None:
        """Answer the owner until it hangs up or dies. owner: its pidfd."""
        poll = select.poll()
        poll.register(owner, select.POLLIN)
        poll.register(self._callee.sock, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == owner or not self._callee.step():
                    return

    def _machine(self, **options: Any) -> dict[str, object]:
        own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        namespaces.unshare(namespaces.NEWPID)  # the next child is its init
        try:
            pid = self._fork(lambda sock: self._life(sock, self.top / "machine", options))
        finally:
            namespaces.setns(own_namespace, namespaces.NEWPID)
            os.close(own_namespace)
        return {"pid": pid, "procs": str(self.top / "machine" / machine_init.SESSION / "cgroup.procs")}

    def _node(self, name: str, number: int) -> dict[str, object]:
        outside = self.top / "outside"
        pid = self._fork(lambda sock: node.run(sock, outside, name, number))
        return {"pid": pid, "procs": str(outside / "cgroup.procs")}

    def _fork(self, life: Callable[[socket.socket], None]) -> int:
        mine, its = socket.socketpair()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # the handler is the keeper's alone
        pid = os.fork()
        if pid:
            self._children.append(pid)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            its.close()
            self._callee.fds_to_pass.append(mine.detach())
            return pid
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            mine.close()
            self._callee.sock.close()
            for fd in self._callee.fds_to_pass:
                os.close(fd)
            life(its)
        except BaseException as error:  # noqa: BLE001 - a fork must never return into its parent's code
            refuse(its, error)
        os._exit(0)

    def end(self) -> None:
        """Kill everything and remove the lab's cgroup. Raises OSError if something stays."""
        for pid in self._children:  # a child may not have entered the cgroup yet
            os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)
        cgroups.remove(self.top)


def main(machine: Life = machine_init.run) -> int:
    """The keeper's life; always removes the lab's cgroup. machine: that of the machine's process 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the owner starts us with some blocked
    sock = socket.socket(fileno=int(sys.argv[1]))
    owner = os.pidfd_open(os.getppid())
    if os.getppid() != int(sys.argv[2]):
        return 0  # it has died meanwhile, and the pidfd is somebody else's
    try:
        keeper = Keeper(sock, machine)
    except OSError as error:
        refuse(sock, error)
        return 0
    try:
        keeper.serve(owner)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        keeper.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
