"""Next hop objects (ip-nexthop(8), struct nhmsg in linux/nexthop.h) that entries lead to by number.

With net.ipv4.nexthop_compat_mode=0 the kernel tells of such an entry nothing but that number.
"""

from __future__ import annotations

import struct

from procroute.kernel.entry_messages import address, attributes
from procroute.kernel.netlink import HEADER
from procroute.kernel.rtnetlink import Rtnetlink
from procroute.model import Hop

_GET = 106
# family, scope, protocol, reserved, flags
_NEXT_HOP = struct.Struct("=BBBBI")
# id, weight - 1, its upper byte (Linux 6.12), reserved (struct nexthop_grp)
_MEMBER = struct.Struct("=IBBH")
_NUMBER = struct.Struct("=I")
_ID, _GROUP, _OIF, _GATEWAY, _ENCAPSULATION = 1, 2, 5, 6, 7
_ONLINK = 0x4


class NextHops:
    """The objects of this network namespace, read when one is first asked for."""

    def __init__(self, netlink: Rtnetlink) -> None:
        self._netlink = netlink
        self._single: dict[int, Hop] | None = None
        self._groups: dict[int, list[tuple[int, int]]] = {}

    def hops(self, number: int) -> tuple[Hop, ...]:
        """The hops of an object or group; none for one that leads nowhere or encapsulates. Raises OSError."""
        if self._single is None:
            self._single = {}
            self._read(self._single)
        members = self._groups.get(number, [(number, 1)])
        single = self._single
        if any(member not in single for member, _ in members):
            return ()
        hops = ((single[member], weight) for member, weight in members)
        return tuple(Hop(hop.ifindex, hop.gateway, hop.onlink, weight) for hop, weight in hops)

    def _read(self, single: dict[int, Hop]) -> None:
        for message in self._netlink.dump(_GET, _NEXT_HOP.pack(0, 0, 0, 0, 0)):
            body = message[HEADER.size :]
            flags = _NEXT_HOP.unpack_from(body)[-1]
            found = dict(attributes(body, _NEXT_HOP.size))
            (number,) = _NUMBER.unpack(found[_ID])
            if _GROUP in found:
                members = _MEMBER.iter_unpack(found[_GROUP])
                self._groups[number] = [(m, (high << 8) + low + 1) for m, low, high, _ in members]
            elif _OIF in found and _ENCAPSULATION not in found:
                gateway = address(found[_GATEWAY]) if _GATEWAY in found else None
                single[number] = Hop(_NUMBER.unpack(found[_OIF])[0], gateway, bool(flags & _ONLINK))
