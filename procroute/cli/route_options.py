"""The options that make a route another one, for the verbs that speak of a route."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from procroute.model import IPAddress

_T = TypeVar("_T")


def add(parser: argparse._ActionsContainer, *, takes: str = "", stop: bool = False) -> None:
    """Add them to a verb's parser, or to a group of its options.

    takes: what the verb puts on a route that may have connections already; empty: it does not. stop: it can
    stop it where the adapter goes, too.
    """
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
    parser.add_argument(
        "--on-down",
        choices=("block", "next", "main", *(("stop",) if stop else ())),
        help="while its adapter is down: nothing leaves, the next adapter is taken, or after the last one "
        "the machine's own way, unprotected (default: next of several, else block)"
        + ("; stop: the unit stops with its adapter (BindsTo=), and nobody starts it again" if stop else ""),
    )
    parser.add_argument(
        "--hold",
        metavar="SECONDS",
        type=_hold,
        help="it goes back to an earlier adapter when that has been up for so long (default: 10)",
    )
    parser.add_argument(
        "--inbound",
        action="store_true",
        help="UDP servers bound to no address answer each client by the adapter that it came in on",
    )
    moved = f", and of open ones of {takes}" if takes else ""
    parser.add_argument(
        "--existing",
        choices=("keep", "reset"),
        help=f"what becomes of connections by an adapter that the route leaves{moved}: they go on there, or "
        "are ended (default: keep)",
    )


def given(options: argparse.Namespace) -> dict[str, Any]:
    """What was given of them, as a Request has it."""
    from procroute.model import OnDown

    names = ("strict", "gateway4", "gateway6", "dns", "hold", "inbound")
    found: dict[str, Any] = {name: getattr(options, name) for name in names}
    if options.on_down is not None:
        found["on_down"] = OnDown(options.on_down)
    if options.existing is not None:
        found["reset"] = options.existing == "reset"
    return found


def written(options: argparse.Namespace) -> dict[str, Any]:
    """What was given of them, as protocol.Wanted has it: addresses as text."""
    found: dict[str, Any] = {name: True for name in ("strict", "inbound") if getattr(options, name)}
    for name in ("on_down", "hold", "existing"):
        if (value := getattr(options, name)) is not None:
            found[name] = value
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


def _hold(text: str) -> float:
    from procroute import route_words

    return _read(route_words.hold, text)


def _servers(text: str) -> tuple[IPAddress, ...]:
    from procroute import route_words

    return _read(route_words.servers, text.split(","))


def _read(reader: Callable[[Any], _T], text: Any) -> _T:
    try:
        return reader(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e
