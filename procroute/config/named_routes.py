"""`[route.NAME]` tables: a name for a way out."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET, Meta, Struct

from procroute import route_words
from procroute.model import Existing, Route
from procroute.written.document import Wrong
from procroute.written.options import (
    Dns,
    Gateway4,
    Gateway6,
    Hold,
    Inbound,
    Maybe,
    OnDownWord,
    Strict,
    Word,
    Words,
    given,
    words,
)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


class WrittenRoute(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A route as it is written."""

    adapters: Annotated[Words | Maybe, Meta(description="The adapters to leave by, in their order.")] = UNSET
    strict: Strict = UNSET
    gateway4: Gateway4 = UNSET
    gateway6: Gateway6 = UNSET
    dns: Dns = UNSET
    on_down: OnDownWord = UNSET
    existing: Annotated[
        Existing | Maybe,
        Meta(description="What becomes of connections when the route leaves an adapter."),
    ] = UNSET
    hold: Hold = UNSET
    inbound: Inbound = UNSET
    lan: Annotated[bool | list[Word] | Maybe, Meta(description="Not supported yet.")] = UNSET


def unfit_name(name: str) -> str:
    """What is wrong with a route's name; empty: nothing."""
    if _NAME.fullmatch(name):
        return ""
    return "is no name for a route: letters, digits, _ . - and at most 64 of them"


def unfit_adapter(name: str) -> str:
    """What is wrong with the name of an adapter; empty: nothing."""
    fit = name and not {"/", ","} & {*name} and name.isprintable() and " " not in name
    return "" if fit else "is no name of an adapter"


def named_route(written: WrittenRoute) -> Route | Wrong:
    """The route, or what is wrong with it."""
    adapters = words(written.adapters)
    if not adapters:
        return Wrong(("adapters",), "is missing", 'name one: adapters = ["wan1"]')
    for name in adapters:
        if problem := unfit_adapter(name):
            return Wrong(("adapters",), problem, "see `procroute adapters`")
    try:
        route_words.adapters(",".join(adapters))
    except ValueError as e:
        return Wrong(("adapters",), f"cannot be so: {e}", "name each once, at most 4")
    several = len(adapters) > 1
    if several and (written.gateway4 or written.gateway6):
        key = "gateway4" if written.gateway4 else "gateway6"
        return Wrong((key,), "is of one adapter, and the route has several", "leave it out")
    if not isinstance(written.lan, Maybe):
        return Wrong(("lan",), "is not supported yet", "leave it out; strict = true has no LAN at all")
    options, wrong = given(written)
    if wrong:
        return wrong[0]
    return Route(
        adapters[0],
        **options,
        others=adapters[1:],
        reset=written.existing == "reset",
    ).plain
