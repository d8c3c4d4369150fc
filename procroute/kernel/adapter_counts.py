"""What adapters have carried, from rtnetlink(7): of this network namespace, whatever is mounted at /sys."""

from __future__ import annotations

import struct
from typing import Final

from procroute.kernel.entry_messages import attributes
from procroute.kernel.netlink import HEADER
from procroute.kernel.rtnetlink import Rtnetlink

# linux/rtnetlink.h, linux/if_link.h, linux/if.h
_GET_LINK: Final = 18
_NAME, _STATISTICS = 3, 23  # IFLA_IFNAME, IFLA_STATS64
_LOOPBACK: Final = 0x8
_ADAPTER: Final = struct.Struct("=BxHiII")  # struct ifinfomsg
_BYTES: Final = struct.Struct("=16xQQ")  # struct rtnl_link_stats64: after the packets


def adapter_counts(netlink: Rtnetlink) -> dict[str, tuple[int, int]]:
    """Bytes received and sent by each adapter but loopback, since it began to be. Raises OSError."""
    found = {}
    for message in netlink.dump(_GET_LINK, _ADAPTER.pack(0, 0, 0, 0, 0)):
        _, _, _, flags, _ = _ADAPTER.unpack_from(message, HEADER.size)
        told = dict(attributes(message, HEADER.size + _ADAPTER.size))
        if not flags & _LOOPBACK and {_NAME, _STATISTICS} <= told.keys():
            name = told[_NAME].rstrip(b"\0").decode(errors="replace")
            found[name] = _BYTES.unpack_from(told[_STATISTICS])
    return found
