"""A destination as people write it."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from procroute.errors import ProcrouteError
from procroute.model import IPAddress, unmapped
from procroute.terminal import printable


def destination_of(text: str) -> tuple[IPAddress | None, int]:
    """An address and the ifindex of its zone. Raises ProcrouteError destination-bad."""
    if not text:
        return None, 0
    plain, _, zone = text.partition("%")
    try:
        address = ip_address(plain.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ProcrouteError(
            "destination-bad",
            f"{printable(text)} is no address",
            "a name may have several: getent ahosts NAME lists them",
        ) from None
    address = unmapped(address)
    if not zone:
        if address.version == 6 and address.is_link_local:
            raise ProcrouteError(
                "destination-bad", f"{address} is on every link", f"say on which: {address}%ADAPTER"
            )
        return address, 0
    try:
        return address, int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    except OSError:
        raise ProcrouteError(
            "destination-bad", f"there is no adapter {printable(zone)}", "procroute adapters lists them"
        ) from None
