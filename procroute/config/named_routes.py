"""`[route.NAME]` tables: a name for a way out."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET, Meta, Struct

from procroute.model import Route
from procroute.written.document import Wrong
from procroute.written.options import Dns, Gateway4, Gateway6, Maybe, Strict, Word, Words, given, words

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


class WrittenRoute(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A route as it is written."""

    adapters: Annotated[Words | Maybe, Meta(description="The adapter to leave by.")] = UNSET
    strict: Strict = UNSET
    gateway4: Gateway4 = UNSET
    gateway6: Gateway6 = UNSET
    dns: Dns = UNSET
    lan: Annotated[bool | list[Word] | Maybe, Meta(description="Not supported yet.")] = UNSET


def unfit_name(name: str) -> str:
    """What is wrong with a route's name; empty: nothing."""
    if _NAME.fullmatch(name):
        return ""
    return "is no name for a route: letters, digits, _ . - and at most 64 of them"


def unfit_adapter(name: str) -> str:
    """What is wrong with the name of an adapter; empty: nothing."""
    fit = name and "/" not in name and name.isprintable() and " " not in name
    return "" if fit else "is no name of an adapter"


def named_route(written: WrittenRoute) -> Route | Wrong:
    """The route, or what is wrong with it."""
    adapters = words(written.adapters)
    if not adapters:
        return Wrong(("adapters",), "is missing", 'name one: adapters = ["wan1"]')
    if len(adapters) > 1:
        return Wrong(("adapters",), "names several, and failover is not supported yet", "name one")
    if problem := unfit_adapter(adapters[0]):
        return Wrong(("adapters",), problem, "see `procroute adapters`")
    if not isinstance(written.lan, Maybe):
        return Wrong(("lan",), "is not supported yet", "leave it out; strict = true has no LAN at all")
    options = given(written)
    return options if isinstance(options, Wrong) else Route(adapters[0], **options)
