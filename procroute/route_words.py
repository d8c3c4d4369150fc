"""A route's options as people write them, in files and on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Final

from procroute.model import IPAddress, unmapped

ADAPTERS: Final = 4
"""So many a route has at most: its guard compares as many with each packet."""
LONGEST_HOLD: Final = 86_400.0
"""Seconds, a day: the longest hold time."""
SYSTEM: Final = "system"
"""Instead of name servers: look-ups are left to the system."""


def gateway4(text: str) -> IPv4Address:
    """An IPv4 gateway. Raises ValueError."""
    try:
        return IPv4Address(text)
    except AddressValueError as e:
        raise ValueError(f"{text} is not an IPv4 address") from e


def gateway6(text: str) -> IPv6Address:
    """An IPv6 gateway. Raises ValueError."""
    try:
        return IPv6Address(text)
    except AddressValueError as e:
        raise ValueError(f"{text} is not an IPv6 address") from e


def adapters(text: str) -> tuple[str, ...]:
    """Names of adapters, with commas between them. Raises ValueError."""
    names = tuple(word.strip() for word in text.split(","))
    if not all(len(name.split()) == 1 for name in names):  # iproute2 gives none with a space
        raise ValueError(f"{text!r}: names of adapters with one comma between")
    if len(names) > ADAPTERS:
        raise ValueError(f"{text!r}: a route has at most {ADAPTERS} adapters")
    twice = next((name for n, name in enumerate(names) if name in names[:n]), None)
    if twice is not None:
        raise ValueError(f"{text!r}: {twice} is there twice")
    return names


def hold(text: str) -> float:
    """Seconds. Raises ValueError."""
    try:
        seconds = float(text)
    except ValueError as e:
        raise ValueError(f"{text!r} is no number of seconds") from e
    if not 0 <= seconds <= LONGEST_HOLD:
        raise ValueError(f"{text} is not from 0 to {LONGEST_HOLD:g} seconds")
    return seconds


def servers(words: Sequence[str]) -> tuple[IPAddress, ...]:
    """Name servers, each once; none for `system` alone. Raises ValueError."""
    if list(words) == [SYSTEM]:
        return ()
    try:
        found = tuple(dict.fromkeys(unmapped(ip_address(word.strip())) for word in words))
    except ValueError as e:
        raise ValueError(f"{','.join(words)!r}: addresses with commas between, or system") from e
    for server in found:
        if server.is_unspecified or server.is_multicast:
            raise ValueError(f"{server} cannot be a name server")
        if server.is_link_local:
            raise ValueError(f"{server} is link-local: look-ups cannot be sent to such a server")
    return found
