"""The messages of pyroute2 that we use, without the rest of it.

pyroute2's package file imports every module it has, and its sockets import asyncio: two thirds of what
`procroute run -- true` would take (docs/decisions/0006). The package is found but not executed while we
import the messages from it, and imports as always for anybody who asks for it later.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any

_spec = find_spec("pyroute2")
_lean = _spec is not None and "pyroute2" not in sys.modules
if _spec is not None and _lean:
    sys.modules["pyroute2"] = module_from_spec(_spec)
try:
    from pyroute2.netlink import nla, nlmsg
    from pyroute2.netlink.rtnl.fibmsg import FR_ACT_NAMES, FR_ACT_VALUES, fibmsg
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
finally:
    if _lean:
        sys.modules.pop("pyroute2", None)

__all__ = [
    "FR_ACT_NAMES",
    "FR_ACT_VALUES",
    "Message",
    "fibmsg",
    "ifaddrmsg",
    "ndmsg",
    "nla",
    "nlmsg",
    "packed",
    "unpacked",
]

Message = Any
"""A message of pyroute2; it has no types."""
_HEADER = 16


def packed(message: Message) -> bytes:
    """The body of a message, without its header."""
    message["header"] = {"type": 0, "flags": 0, "sequence_number": 0}
    message.encode()
    return bytes(message.data)[_HEADER:]


def unpacked(kind: type, body: bytes) -> Message:
    """A message of this class from its body, without its header."""
    message: Message = kind((_HEADER + len(body)).to_bytes(4, sys.byteorder) + bytes(_HEADER - 4) + body)
    message.decode()
    return message
