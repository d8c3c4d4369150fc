"""The options that make a route another one, for the verbs that speak of a route."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from procroute.model import IPAddress

_T = TypeVar("_T")


def add(parser: argparse._ActionsContainer) -> None:
    """Add them to a verb's parser, or to a group of its options."""
    for family, kind in ((4, _gateway4), (6, _gateway6)):
        parser.add_argument(
            f"--gateway{family}",
            metavar="A",
            type=kind,
            help=f"its IPv{family} gateway; without it, that of main, of a lease of networkd's, or "
            "NetworkManager's; a tunnel needs none",
        )
    parser.add_argument(
        "--dns",
        metavar="A,…",
        type=_servers,
        help="name servers to ask through it, at most 3 a family; system: leave look-ups alone",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="nothing but the adapter and loopback: no LAN, its addresses are sought behind the adapter",
    )


def given(options: argparse.Namespace) -> dict[str, Any]:
    """What was given of them, as a Request has it."""
    return {name: getattr(options, name) for name in ("strict", "gateway4", "gateway6", "dns")}


def written(options: argparse.Namespace) -> dict[str, Any]:
    """What was given of them, as protocol.Wanted has it: addresses as text."""
    found: dict[str, Any] = {"strict": True} if options.strict else {}
    for name in ("gateway4", "gateway6"):
        if getattr(options, name) is not None:
            found[name] = str(getattr(options, name))
    if options.dns is not None:
        found["dns"] = [str(server) for server in options.dns]
    return found


def word(text: str) -> str:
    """A word that is not empty."""
    if not text:
        raise argparse.ArgumentTypeError("is empty")
    return text


def _gateway4(text: str) -> IPv4Address:
    from procroute import route_words

    return _read(route_words.gateway4, text)


def _gateway6(text: str) -> IPv6Address:
    from procroute import route_words

    return _read(route_words.gateway6, text)


def _servers(text: str) -> tuple[IPAddress, ...]:
    from procroute import route_words

    return _read(route_words.servers, text.split(","))


def _read(reader: Callable[[Any], _T], text: Any) -> _T:
    try:
        return reader(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e
