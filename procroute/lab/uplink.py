"""One wire of a running lab: what came through it, and what can happen to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Literal, Unpack

from procroute.errors import ProcrouteError
from procroute.lab.channel import Channel
from procroute.lab.commands import Place, Process, Surroundings
from procroute.lab.machine import PACKAGE_ROOT, Inside
from procroute.lab.packet import Packet
from procroute.lab.patience import FACTOR
from procroute.lab.records import Answer, Query
from procroute.lab.topology import FAR_END, Wire, machine_side, node_addresses

Transport = Literal["tcp", "udp"]
_SILENCE = f"""table netdev silence {{
    chain in {{ type filter hook ingress device {FAR_END} priority 0; policy drop; }}
}}
"""
_SOUND = "table netdev silence\ndelete table netdev silence\n"


class Uplink(Place):
    """The machine's adapter, the wire and the node behind it; commands run in the node's network."""

    def __init__(self, wire: Wire, channel: Channel, node: Inside, machine: Inside, routes: str) -> None:
        self.wire = wire
        self.adapter = wire.adapter
        self._channel = channel
        self._node = node
        self._machine = machine
        self._routes = routes

    # --- what came through

    def packets(
        self,
        *,
        family: int | None = None,
        protocol: int | None = None,
        source: str | None = None,
        destination: str | None = None,
        port: int | None = None,
        control: bool = False,
        where: Callable[[Packet], bool] | None = None,
    ) -> list[Packet]:
        """Packets of the machine that reached the node, oldest first; call Lab.settle() before.

        port: destination port; control: also what kernels send for themselves (neighbours, groups).
        Raises ProcrouteError("lab-lost-packets") if the capture missed any.
        """
        if lost := self._channel.call("lost"):
            raise ProcrouteError("lab-lost-packets", f"the capture of {self.adapter} missed {lost} packets")
        wanted = {"family": family, "protocol": protocol, "source": source, "destination": destination}
        wanted["destination_port"] = port
        seen = [Packet(*fields) for fields in self._channel.call("packets")]
        return [
            packet
            for packet in seen
            if (control or not packet.control)
            and all(value is None or getattr(packet, name) == value for name, value in wanted.items())
            and (where is None or where(packet))
        ]

    def queries(self, name: str | None = None) -> list[Query]:
        """The DNS questions that the node's name server saw, all or for one name."""
        found = [Query(*fields) for fields in self._channel.call("queries")]
        return [query for query in found if name is None or query.name == name]

    def clear(self) -> None:
        """Forget packets and questions seen so far."""
        self._channel.call("clear")

    def wait_for_markers(self, token: str, count: int, seconds: float = 5) -> None:
        """Wait until the capture has seen that many markers; see Lab.settle."""
        if not self._channel.call("settled", token=token, count=count, seconds=seconds * FACTOR):
            raise ProcrouteError("lab-not-settled", f"markers sent by {self.adapter} did not arrive")

    # --- what can happen to it

    def down(self) -> None:
        """The administrator takes the adapter down; the kernel drops its routes and IPv6 addresses."""
        self._machine.batch(f"link set {self.adapter} down")

    def up(self) -> None:
        """The adapter is up again, with the addresses that it still has; see restore."""
        self._machine.batch(f"link set {self.adapter} up")

    def carrier(self, on: bool) -> None:
        """Plug the cable in or out, at the node's end."""
        self._node.batch(node_addresses(self.wire) if on else f"link set {FAR_END} down")

    def silence(self, on: bool = True, forget: bool = True) -> None:
        """The node hears nothing any more, with no link event.

        forget: the machine must ask for its neighbour anew at once, and finds it gone within a second; else
        as long as the kernel takes to notice.
        """
        self.nft(_SILENCE if on else _SOUND)
        if on and forget:
            self.forget_neighbours()

    def forget_neighbours(self) -> None:
        """Empty the machine's neighbour entries of this adapter."""
        self._machine.run(["ip", "neigh", "flush", "dev", self.adapter], check=True)

    def drop_address(self, family: int) -> None:
        """Take the machine's address of that family (4 or 6) away."""
        address = self.wire.machine4 if family == 4 else self.wire.machine6
        self._machine.batch(f"address del {address} dev {self.adapter}")

    def drop_gateway(self, family: int) -> None:
        """Take the default route of that family (4 or 6) by this adapter out of main."""
        self._machine.batch(f"route del {'default' if family == 4 else '::/0'} dev {self.adapter}")

    def restore(self) -> None:
        """Undo all of the above: as a DHCP client would after the link came back."""
        self.nft(_SOUND)
        self.carrier(True)
        self._machine.batch(machine_side(self.wire))
        if self._routes:
            self._machine.batch(self._routes)

    # --- from the other side

    def dial(
        self,
        source: str,
        destination: str,
        port: int,
        transport: Transport = "tcp",
        text: str = "hello",
        timeout: float = 3,
        source_port: int = 0,
    ) -> Answer:
        """A client of the internet behind this uplink calls the machine: sends a line, reads one.

        source: any address, the node owns them all; source_port 0: any. ICMPv6 errors reach only a client
        on the gateway's address: others time out.
        """
        done = self._node.run(
            [
                sys.executable,
                "-S",
                "-s",
                "-m",
                "procroute.lab.dial",
                transport,
                source,
                destination,
                str(port),
                text,
                str(timeout * FACTOR),
                str(source_port),
            ],
            timeout=timeout + 10,
            env={"PYTHONPATH": PACKAGE_ROOT},
            check=True,
        )
        text, sender, error = done.stdout.split("\n")[:3]
        return Answer(text, sender, error)

    def popen(
        self, command: Sequence[str | os.PathLike[str]], **surroundings: Unpack[Surroundings]
    ) -> Process:
        """Start a command in the node's network; see Place.popen."""
        return self._node.popen(command, **surroundings)
