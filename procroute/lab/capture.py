"""Every IP packet that comes in on an adapter: an AF_PACKET socket with a large buffer.

The socket is a tap: it sees frames before any filter of the router. Markers (frames of an EtherType for local
experiments) tell when all that was sent before them has been seen.
Sources: packet(7), IEEE 802 (EtherType 0x88B5).
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import Counter
from typing import Final

from procroute.lab.packet import Packet, parse

MARKER: Final = 0x88B5
_ETH_P_ALL: Final = 0x0003
_IP_PROTOCOLS: Final = frozenset({0x0800, 0x86DD})
_PACKET_OUTGOING: Final = 4
_PACKET_STATISTICS: Final = 6
_SOL_PACKET: Final = 263
_SO_RCVBUFFORCE: Final = 33
_BUFFER: Final = 64 << 20  # bytes; charged only while used
_SNAP: Final = 192  # bytes of a packet that are looked at


class Capture:
    """What came in on `adapter`, for the uplink named `uplink`."""

    def __init__(self, adapter: str, uplink: str) -> None:
        self._uplink = uplink
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self.sock.bind((adapter, _ETH_P_ALL))
        self.sock.setblocking(False)
        self._packets: list[Packet] = []
        self._markers: Counter[bytes] = Counter()
        self._lost = 0

    def read(self) -> None:
        """Take what the kernel holds."""
        while True:
            try:
                data, address = self.sock.recvfrom(_SNAP)
            except BlockingIOError:
                return
            except OSError:  # ENETDOWN: told once when the adapter goes down
                continue
            _, protocol, kind, *_ = address
            if kind == _PACKET_OUTGOING:
                continue
            if protocol == MARKER:
                self._markers[data[:16]] += 1
            elif protocol in _IP_PROTOCOLS and (packet := parse(self._uplink, data)):
                self._packets.append(packet)

    def wait_for_markers(self, token: bytes, count: int, seconds: float) -> bool:
        """Read until `count` frames with `token` (16 bytes) were seen; False if they do not come in time."""
        deadline = time.monotonic() + seconds
        self.read()
        while self._markers[token] < count:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            select.select([self.sock], [], [], left)
            self.read()
        del self._markers[token]
        return True

    def packets(self) -> list[Packet]:
        """All packets seen so far, oldest first."""
        self.read()
        return self._packets

    def lost(self) -> int:
        """How many frames the kernel had to drop since the capture began."""
        statistics = self.sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._lost += int(struct.unpack("II", statistics)[1])  # the kernel resets it when read
        return self._lost

    def clear(self) -> None:
        """Forget what was seen so far."""
        self.read()
        self._packets.clear()
