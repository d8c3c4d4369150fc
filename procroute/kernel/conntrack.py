"""Connection tracking, asked over netlink (linux/netfilter/nfnetlink_conntrack.h)."""

from __future__ import annotations

import errno
import struct

from procroute.kernel import netlink

_NETLINK_NETFILTER, _SUBSYSTEM, _DELETE = 12, 1, 2
_MARK, _MARK_MASK = 8, 21
# Without CONFIG_NF_CT_NETLINK (nfnetlink_rcv_msg), or without what is tracked.
_CANNOT = frozenset({errno.EINVAL, errno.EPROTONOSUPPORT, errno.ENOENT})


def forget(mark: int, mask: int) -> None:
    """Forget the conversations with this mark, where mask has ones. What goes on of them is taken for new.

    Where nothing is tracked, or this kernel cannot be told, nothing is done. Raises OSError.
    """
    body = struct.pack("!BBH", 0, 0, 0)
    body += struct.pack("=HH", 8, _MARK) + struct.pack("!I", mark)
    body += struct.pack("=HH", 8, _MARK_MASK) + struct.pack("!I", mask)
    netlink.ask(_NETLINK_NETFILTER, _SUBSYSTEM << 8 | _DELETE, body, dump=False, nothing=_CANNOT)
