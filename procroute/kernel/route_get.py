"""Ask the kernel where a packet would go: RTM_GETROUTE for one destination (rtnetlink(7)).

Nothing is sent, and nothing is kept. The answers are those of the look-up that a socket of this mark and uid
makes when it connects (net/ipv4/route.c, inet_rtm_getroute; net/ipv6/route.c, inet6_rtm_getroute).
"""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import Final

from procroute.core.route_get import Question, Reply
from procroute.kernel import entry_messages
from procroute.kernel.entry_messages import AF
from procroute.kernel.netlink import HEADER
from procroute.kernel.rtnetlink import Rtnetlink
from procroute.model import Family, IPAddress

# linux/rtnetlink.h
_GET: Final = 26
_DST, _SRC, _OIF, _PREFSRC, _TABLE, _MARK, _UID = 1, 2, 4, 7, 15, 16, 25
# Which table it was. IPv6 says so unasked, and takes no such flag under strict checks.
_LOOKUP_TABLE: Final = {Family.IPV4: 0x1000, Family.IPV6: 0}
_DISCARD: Final = 9
_MESSAGE = struct.Struct("=BBBBBBBBI")
_NUMBER = struct.Struct("=I")


def route_get(netlink: Rtnetlink, question: Question) -> Reply:
    """The kernel's answer, a refusal (ENETUNREACH …) included. Raises TimeoutError when none comes."""
    try:
        answers = netlink.ask(_GET, _request(question))
    except OSError as e:
        if not e.errno:
            raise
        return Reply(error=e.errno)
    return _reply(answers[0][HEADER.size :])


def second_try(question: Question) -> IPAddress | None:
    """The source with which IPv6 looks again where it found no way without one; None: that helps nobody.

    Only a socket does so (net/ipv6/ip6_output.c, ip6_dst_lookup_tail): one of ours is connected, with the
    mark that was asked for. It is of UDP, so nothing is sent.
    """
    if question.family is not Family.IPV6 or question.source is not None:
        return None
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, question.mark)
            one.connect((str(question.destination), _DISCARD, 0, question.ifindex))
        except OSError:
            return None
        return ip_address(one.getsockname()[0].partition("%")[0])


def _request(question: Question) -> bytes:
    family = question.family
    length = question.destination.max_prefixlen
    parts = [
        _MESSAGE.pack(
            *(AF[family], length, length if question.source else 0, 0, 0, 0, 0, 0), _LOOKUP_TABLE[family]
        ),
        entry_messages.attribute(_DST, question.destination.packed),
        entry_messages.attribute(_MARK, _NUMBER.pack(question.mark)),
        entry_messages.attribute(_UID, _NUMBER.pack(question.uid)),
    ]
    if question.source is not None:
        parts.append(entry_messages.attribute(_SRC, question.source.packed))
    if question.ifindex:
        parts.append(entry_messages.attribute(_OIF, _NUMBER.pack(question.ifindex)))
    return b"".join(parts)


def _reply(body: bytes) -> Reply:
    *_, table, _protocol, _scope, kind, _flags = _MESSAGE.unpack_from(body)
    found = dict(entry_messages.attributes(body, _MESSAGE.size))
    return Reply(
        kind=entry_messages.kind_of(kind),
        ifindex=_number(found, _OIF),
        gateway=entry_messages.gateway(found),
        source=entry_messages.address(found[_PREFSRC]) if _PREFSRC in found else None,
        table=_number(found, _TABLE) or table,
    )


def _number(found: dict[int, bytes], kind: int) -> int:
    return int(_NUMBER.unpack(found[kind])[0]) if kind in found else 0
