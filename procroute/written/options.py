"""A route's options as files say them, in `[route.NAME]` and in `[[rule]]`."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from msgspec import Meta, UnsetType

from procroute import route_words
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


def words(value: Words | Maybe) -> tuple[str, ...]:
    """One or several, as several; none where nothing is said."""
    return () if isinstance(value, UnsetType) else (value,) if isinstance(value, str) else tuple(value)


def given(options: Options) -> dict[str, Any] | Wrong:
    """What is given of them, as model.Route has it; or what is wrong."""
    found: dict[str, Any] = {}
    if not isinstance(options.strict, UnsetType):
        found["strict"] = options.strict
    for key, read in (("gateway4", route_words.gateway4), ("gateway6", route_words.gateway6)):
        if text := getattr(options, key):
            try:
                found[key] = read(text)
            except ValueError as e:
                return Wrong((key,), f"cannot be so: {e}")
    if servers := words(options.dns):
        try:
            found["dns"] = route_words.servers(servers)
        except ValueError as e:
            return Wrong(("dns",), f"cannot be so: {e}")
    return found
