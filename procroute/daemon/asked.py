"""What somebody asks for, as the engine takes it."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

from procroute.engine.request import Request
from procroute.errors import ProcrouteError
from procroute.model import OnDown
from procroute.protocol import Wanted


def request_for(wanted: Wanted) -> Request:
    """What somebody asks for, as the engine takes it. Raises ProcrouteError usage for what is no address."""
    dns = None if wanted.dns is None else tuple(ip_address(_address(text)) for text in wanted.dns)
    try:
        gateway4 = IPv4Address(wanted.gateway4) if wanted.gateway4 is not None else None
        gateway6 = IPv6Address(wanted.gateway6) if wanted.gateway6 is not None else None
    except AddressValueError as e:
        raise ProcrouteError("usage", f"no address: {e}") from e
    return Request(
        (),
        wanted.via,
        wanted.strict,
        gateway4,
        gateway6,
        dns,
        on_down=None if wanted.on_down is None else OnDown(wanted.on_down),
        reset=None if wanted.existing is None else wanted.existing == "reset",
        hold=wanted.hold,
        inbound=wanted.inbound,
    )


def _address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError as e:
        raise ProcrouteError("usage", f"{text!r} is no address of a name server") from e
    return text
