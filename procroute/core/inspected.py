"""An open socket as people are told of it: by which adapter it leaves, and whether its route says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from procroute.core.explain_ways import THE_WORLD
from procroute.core.route_get import Question
from procroute.identity import Identity
from procroute.model import Family, IPAddress
from procroute.protocol import Socket

Kind = Literal["tcp", "udp", "ping", "raw"]

# net/tcp_states.h, in the words of ss(8)
STATES: Final[Mapping[int, str]] = {
    1: "established",
    2: "syn-sent",
    3: "syn-recv",
    4: "fin-wait-1",
    5: "fin-wait-2",
    6: "time-wait",
    7: "unconnected",
    8: "close-wait",
    9: "last-ack",
    10: "listening",
    11: "closing",
    12: "syn-recv",
}
_LISTENING: Final = "listening"
_WITHOUT_PORTS: Final = ("ping", "raw")


class Held(Struct, frozen=True):
    """A socket that a process holds. remote: None where it has no peer. ifindex: the adapter that it is tied
    to, 0: to none.

    mark: of what it sends, whoever gives it that. foreign: it is of another network namespace.
    """

    kind: Kind
    local: IPAddress
    local_port: int = 0
    remote: IPAddress | None = None
    remote_port: int = 0
    state: str = ""
    ifindex: int = 0
    mark: int = 0
    foreign: bool = False


def questions(held: Held, uid: int) -> list[Question]:
    """What to ask the kernel for the way that it goes; the first one that has a way says it.

    Of a socket without a peer: where it would send to anywhere. IPv6 sockets of any address send IPv4, too.
    """
    if held.foreign or held.state == _LISTENING:
        return []
    source = None if held.local.is_unspecified else held.local
    if held.remote is not None:
        to = [held.remote]
    elif held.local.version == 6 and source is None:
        to = [THE_WORLD[Family.IPV6], THE_WORLD[Family.IPV4]]
    else:
        to = [THE_WORLD[Family.of(held.local)]]
    return [Question(each, source, held.mark, uid, held.ifindex) for each in to]


def told(held: Held, adapter: str, *, loops: bool, number: int, identity: Identity) -> Socket:
    """A socket as it is told. adapter: by which the kernel says it leaves, loops: that is loopback.

    number: of its process's route, 0: it has none.
    """
    as_it_says = loops or (not held.foreign and identity.number(held.mark) == number)
    return Socket(
        kind=held.kind,
        local=_end(held.kind, held.local, held.local_port),
        remote="" if held.remote is None else _end(held.kind, held.remote, held.remote_port),
        state=held.state,
        adapter=adapter,
        on_route=as_it_says if number else None,
    )


def _end(kind: Kind, address: IPAddress, port: int) -> str:
    if kind in _WITHOUT_PORTS:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
