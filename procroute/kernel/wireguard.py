"""What the kernel's WireGuard says of a device: by generic netlink, family `wireguard` (linux/wireguard.h).

Two messages of two attributes each: pyroute2's WireGuard brings sockets of its own, which run loops in
threads (docs/decisions/0006).
"""

from __future__ import annotations

import errno
import struct
from typing import Final

from procroute.errors import ProcrouteError
from procroute.kernel.entry_messages import attribute, attributes
from procroute.kernel.netlink import ask
from procroute.kernel.refusal import refused

_GENERIC: Final = 16  # linux/netlink.h, NETLINK_GENERIC
_CONTROL: Final = 16  # linux/genetlink.h: GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID and _NAME
_GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_GET_DEVICE, _SET_DEVICE = 0, 1
_IFINDEX, _PORT, _MARK = 1, 6, 7
_HEADER: Final = struct.Struct("=BBH")
"""Command, version, nothing (struct genlmsghdr)."""
_NUMBER, _SHORT = struct.Struct("=I"), struct.Struct("=H")


def port(ifindex: int) -> int:
    """The UDP port that a device sends from; 0: it has none yet. Raises ProcrouteError."""
    return _SHORT.unpack(_device(ifindex).get(_PORT, bytes(2)))[0]  # type: ignore[no-any-return]


def forget_ways(ifindex: int) -> None:
    """Have a device look anew for the ways to its peers, and for the sources of its packets.

    To set its mark, to what it is, does that (drivers/net/wireguard/netlink.c, wg_set_device), and nothing
    else. In IPv6 the source that a peer spoke to is kept as long as the machine has it (socket.c, send6),
    whatever adapter the packets leave by. Raises ProcrouteError.
    """
    mark = _device(ifindex).get(_MARK, bytes(4))
    _asked(_SET_DEVICE, attribute(_IFINDEX, _NUMBER.pack(ifindex)) + attribute(_MARK, mark), dump=False)


def _device(ifindex: int) -> dict[int, bytes]:
    """The attributes of a device. Its keys and peers are among them."""
    found: dict[int, bytes] = {}
    for body in _asked(_GET_DEVICE, attribute(_IFINDEX, _NUMBER.pack(ifindex)), dump=True):
        found = dict(attributes(body, _HEADER.size)) | found  # many peers take several messages
    return found


def _asked(command: int, body: bytes, *, dump: bool) -> list[bytes]:
    """Raises ProcrouteError."""
    try:
        family = _family()
        return ask(_GENERIC, family, _HEADER.pack(command, 1, 0) + body, dump=dump, nothing=())
    except OSError as e:
        raise refused(e, "wireguard", "tell of a WireGuard device") from e


def _family() -> int:
    """The number of the family. Raises OSError, and ProcrouteError kernel-option where there is none."""
    name = attribute(_FAMILY_NAME, b"wireguard\0")
    question = _HEADER.pack(_GET_FAMILY, 1, 0) + name
    answers = ask(_GENERIC, _CONTROL, question, dump=False, nothing=(errno.ENOENT,))
    found = dict(attributes(answers[0], _HEADER.size)) if answers else {}
    if _FAMILY_ID not in found:
        raise ProcrouteError("kernel-option", "this kernel has no WireGuard", "it needs CONFIG_WIREGUARD")
    return int(_SHORT.unpack(found[_FAMILY_ID])[0])
