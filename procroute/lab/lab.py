"""The lab as its owner holds it: make it, run things in it, ask what came out where."""

from __future__ import annotations

import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, Unpack

from procroute.errors import ProcrouteError
from procroute.lab.channel import Channel
from procroute.lab.commands import Place, Process, Surroundings
from procroute.lab.file_systems import visible
from procroute.lab.machine import PACKAGE_ROOT, Inside
from procroute.lab.patience import FACTOR
from procroute.lab.topology import (
    FAR_END,
    LAN,
    WAN1,
    WAN2,
    Families,
    Main,
    Wire,
    default_routes,
    link,
    machine_side,
    node_addresses,
    node_internet,
    resolvers,
)
from procroute.lab.uplink import Uplink


class Lab(Place):
    """A machine with two uplinks and a LAN. A context manager; everything ends with the block.

    main: which uplinks have a default route in table main ("both": wan2 preferred by metric); rp_filter: on
    every adapter; families: per adapter, e.g. {"wan1": "4"}; ipv6: False switches it off in the machine;
    gateway6: "global", or "link-local" as router advertisements give; cgroup: "unified" or "hybrid";
    keep: directories below /tmp or /run that stay visible in the machine.

    Raises ProcrouteError("not-root") and, when something of it does not work, ("lab-failed").

    KEEPER: the module that holds it together.
    """

    KEEPER: ClassVar = "procroute.lab.keeper"

    def __init__(
        self,
        *,
        main: Main = "both",
        rp_filter: Literal[0, 1, 2] = 0,
        families: dict[str, Families] | None = None,
        ipv6: bool = True,
        gateway6: Literal["global", "link-local"] = "global",
        cgroup: Literal["unified", "hybrid"] = "unified",
        keep: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        self._main: Main = main
        self._rp_filter = rp_filter
        self._ipv6 = ipv6
        self._gateway6 = gateway6
        self._hybrid = cgroup == "hybrid"
        self._keep = visible([PACKAGE_ROOT, os.getcwd(), *keep])
        self._families = families or {}
        self._channels: list[Channel] = []
        self._keeper_fd: int | None = None
        self._processes: list[Process] = []
        self.uplinks: dict[str, Uplink] = {}

    # --- beginning and end

    def __enter__(self) -> Self:
        if os.geteuid():
            raise ProcrouteError("not-root", "a lab is made of namespaces, which takes root", hint="use sudo")
        try:
            self._start_keeper()
            self._start_machine()
            self._build([self._adapted(wire) for wire in (WAN1, WAN2, LAN)])
        except subprocess.CalledProcessError as error:
            self.close()
            raise ProcrouteError("lab-failed", f"{' '.join(error.cmd)}: {error.stderr.strip()}") from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the lab: everything in it is killed, its cgroup removed. May be called again."""
        for channel in self._channels:
            channel.close()
        if not self._channels:
            return
        self._channels.clear()
        try:
            status = self._keeper.wait(20 * FACTOR)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            status = self._keeper.wait()
        fd, self._keeper_fd = self._keeper_fd, None
        if fd is not None:
            os.close(fd)
        for process in self._processes:
            process.wait(5)
        if status:
            raise ProcrouteError("lab-failed", f"the lab did not end well: status {status}")

    def abandon(self, seconds: float = 5) -> None:
        """End the lab from a signal handler whose process then ends: as close, but takes no lock."""
        if self._keeper_fd is not None:
            for channel in tuple(self._channels):
                channel.hang_up()
            select.select([self._keeper_fd], [], [], seconds * FACTOR)  # readable when the keeper has ended

    def _start_keeper(self) -> None:
        mine, its = socket.socketpair()
        before = signal.pthread_sigmask(
            signal.SIG_BLOCK, {signal.SIGINT}
        )  # there is a keeper or there is none
        try:
            with its:
                self._keeper = subprocess.Popen(
                    [
                        *(sys.executable, "-S", "-s", "-m", self.KEEPER),
                        *(str(its.fileno()), str(os.getpid())),
                    ],
                    pass_fds=[its.fileno()],
                    env={**os.environ, "PYTHONPATH": PACKAGE_ROOT},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the owner, which then ends the lab
                )
            self._keeper_fd = os.pidfd_open(self._keeper.pid)
            self._channels.append(Channel(mine, "keeper"))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _start_machine(self) -> None:
        wires = [self._adapted(wire) for wire in (WAN1, WAN2)]
        sysctls = {f"net/ipv4/conf/{name}/rp_filter": str(self._rp_filter) for name in ("all", "default")}
        for name in ("all", "default"):
            sysctls[f"net/ipv6/conf/{name}/accept_dad"] = "0"
            sysctls[f"net/ipv6/conf/{name}/disable_ipv6"] = str(int(not self._ipv6))
        sysctls |= {f"net/ipv6/conf/default/{name}": "0" for name in ("accept_ra", "router_solicitations")}
        options = self._machine_options() | {"resolvers": resolvers(self._main, wires), "sysctls": sysctls}
        self.machine, self._init = self._child("machine", "machine", **options)
        self._init.call("ready")

    def _machine_options(self) -> dict[str, object]:
        """What the keeper's "machine" is told of its file systems."""
        return {"keep": self._keep, "hybrid": self._hybrid}

    def _adapted(self, wire: Wire) -> Wire:
        default: Families = wire.families if self._ipv6 else "4"
        return replace(wire, families=self._families.get(wire.adapter, default))

    def _child(self, label: str, op: str, **args: object) -> tuple[Inside, Channel]:
        """Have the keeper fork a process: where it is, and the channel to it."""
        reply, sockets = self._channels[0].call_for_sockets(op, **args)
        channel = Channel(sockets[0], label)
        self._channels.append(channel)
        # the keeper's mount namespace has the cgroup2 tree, ours may not
        procs = f"/proc/{self._keeper.pid}/root{reply['procs']}"
        return Inside(reply["pid"], procs, op == "machine"), channel

    def _build(self, wires: Sequence[Wire], tunnel: bool = False) -> list[Uplink]:
        nodes = [self._child(wire.node, "node", name=wire.node, number=wire.number) for wire in wires]
        for wire, (_, channel) in zip(wires, nodes, strict=True):
            channel.call("ready")
            if tunnel:
                channel.call("tunnel", machine=self.machine.pid, adapter=wire.adapter, far_end=FAR_END)
        near = (
            ""
            if tunnel
            else "".join(link(wire, node.pid) for wire, (node, _) in zip(wires, nodes, strict=True))
        )
        routes = [default_routes(wire, self._main, self._gateway6) for wire in wires]
        # its network, but our /proc: there the nodes' pids are known
        network = replace(self.machine, whole=False)
        network.batch("link set lo up\n" + near + "".join(map(machine_side, wires)))
        with ThreadPoolExecutor(len(wires)) as pool:
            scripts = [node_internet(wire) + node_addresses(wire) for wire in wires]
            list(pool.map(Inside.batch, [node for node, _ in nodes], scripts))
        for wire, (node, channel), lines in zip(wires, nodes, routes, strict=True):
            channel.call("capture", adapter=FAR_END)
            self.uplinks[wire.adapter] = Uplink(wire, channel, node, self.machine, lines)
            self._init.call("quicken", adapter=wire.adapter)
        self.machine.batch("".join(routes))
        return [self.uplinks[wire.adapter] for wire in wires]

    def add(self, wire: Wire, tunnel: bool = False) -> Uplink:
        """Another adapter with a node behind it: a veth, or with `tunnel` a tun adapter. It gets no route."""
        return self._build([wire], tunnel)[0]

    # --- what there is

    @property
    def wan1(self) -> Uplink:
        """The first uplink."""
        return self.uplinks["wan1"]

    @property
    def wan2(self) -> Uplink:
        """The second uplink; main prefers it unless told otherwise."""
        return self.uplinks["wan2"]

    @property
    def lan(self) -> Uplink:
        """The LAN and the host on it, which answers like a router named "lan"."""
        return self.uplinks["lan0"]

    def path(self, inside: str) -> Path:
        """Where a file of the machine is for us. Absolute symbolic links on the way lead astray."""
        return Path(f"/proc/{self.machine.pid}/root{inside}")

    # --- doing things in the machine

    def popen(
        self, command: Sequence[str | os.PathLike[str]], **surroundings: Unpack[Surroundings]
    ) -> Process:
        """Start a command in the machine; see Place.popen. It ends with the lab at the latest."""
        process = self.machine.popen(command, **surroundings)
        self._processes.append(process)
        return process

    def sysctl(self, name: str, value: str) -> None:
        """Set a sysctl of the machine's network, as "net/ipv4/conf/wan1/rp_filter"."""
        self._init.call("set", path=name, value=value)

    def ask(self, op: str) -> Any:
        """An answer of the machine's init: "cgroups", "attached" or "sysctls"; see machine_init."""
        return self._init.call(op)

    # --- what came out

    def settle(self) -> None:
        """Return when every packet that the machine has sent so far is in the captures.

        Packets that wait for a neighbour's answer are waited for too, for as long as the kernel asks.
        """
        deadline = time.monotonic() + 2 * FACTOR
        while self._init.call("pending") and time.monotonic() < deadline:
            time.sleep(0.01)
        token = secrets.token_hex(16)
        for adapter, count in self._init.call("mark", token=token).items():
            if count and adapter in self.uplinks:
                self.uplinks[adapter].wait_for_markers(token, count)

    def clear(self) -> None:
        """Forget every packet and question up to now."""
        self.settle()
        for uplink in self.uplinks.values():
            uplink.clear()
