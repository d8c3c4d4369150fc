"""A route's options as files say them, in `[route.NAME]` and in `[[rule]]`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, UnsetType

from procroute import route_words
from procroute.model import OnDown
from procroute.written.document import Wrong

Word = Annotated[str, Meta(min_length=1, max_length=4096)]
Words = Word | Annotated[list[Word], Meta(min_length=1, max_length=1000)]
"""One, or any of several."""
Maybe = UnsetType
"""For what a file may leave out."""


Strict = Annotated[bool | Maybe, Meta(description="Nothing but the adapter and loopback: no LAN either.")]
_GATEWAY = "The adapter's {} gateway, instead of the one that the machine knows."
Gateway4 = Annotated[
    Word | Maybe, Meta(description=_GATEWAY.format("IPv4"), extra_json_schema={"format": "ipv4"})
]
Gateway6 = Annotated[
    Word | Maybe, Meta(description=_GATEWAY.format("IPv6"), extra_json_schema={"format": "ipv6"})
]
Dns = Annotated[
    Words | Maybe,
    Meta(description="Addresses of name servers to ask through the adapter; system: leave look-ups alone."),
]
OnDownWord = Annotated[
    Literal["block", "next", "main"] | Maybe,
    Meta(description="When the adapter is down: nothing leaves, the next one is taken, or after it main."),
]
Hold = Annotated[
    Annotated[float, Meta(ge=0, le=route_words.LONGEST_HOLD)] | Maybe,
    Meta(description="Seconds before it goes back to an earlier adapter."),
]
Inbound = Annotated[
    bool | Maybe,
    Meta(description="UDP servers bound to no address answer by the adapter that they are called by."),
]


class Options(Protocol):
    """What makes a route another one. Without them, the defaults of model.Route hold."""

    @property
    def strict(self) -> bool | Maybe: ...
    @property
    def gateway4(self) -> str | Maybe: ...
    @property
    def gateway6(self) -> str | Maybe: ...
    @property
    def dns(self) -> str | list[str] | Maybe: ...
    @property
    def on_down(self) -> str | Maybe: ...
    @property
    def hold(self) -> float | Maybe: ...
    @property
    def inbound(self) -> bool | Maybe: ...


def words(value: Words | Maybe) -> tuple[str, ...]:
    """One or several, as several; none where nothing is said."""
    return () if isinstance(value, UnsetType) else (value,) if isinstance(value, str) else tuple(value)


def given(options: Options) -> tuple[dict[str, Any], list[Wrong]]:
    """What is given of them, as model.Route has it; and what is wrong with them."""
    found: dict[str, Any] = {}
    wrong: list[Wrong] = []
    for key in ("strict", "hold", "inbound"):
        if not isinstance(value := getattr(options, key), UnsetType):
            found[key] = value
    if not isinstance(options.on_down, UnsetType):
        found["on_down"] = OnDown(options.on_down)
    if found.get("strict") and found.get("on_down") is OnDown.MAIN:
        wrong.append(Wrong(("on_down",), "cannot be main on a strict route", "next, or block"))
    if found.get("strict") and found.get("inbound"):
        why = "cannot be on a strict route: nobody is answered by another adapter"
        wrong.append(Wrong(("inbound",), why, "leave one out"))
    for key, read in (("gateway4", route_words.gateway4), ("gateway6", route_words.gateway6)):
        if text := getattr(options, key):
            try:
                found[key] = read(text)
            except ValueError as e:
                wrong.append(Wrong((key,), f"cannot be so: {e}"))
    if servers := words(options.dns):
        try:
            found["dns"] = route_words.servers(servers)
        except ValueError as e:
            wrong.append(Wrong(("dns",), f"cannot be so: {e}"))
    return found, wrong
