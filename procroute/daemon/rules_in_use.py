"""The rules that hold now, and what is worked out of them once."""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec import Struct

from procroute.core.ruling import asked_for, known_at_exec, with_exceptions
from procroute.errors import ProcrouteError
from procroute.rulebook import folders
from procroute.rulebook.index import Index
from procroute.rulebook.links import followed
from procroute.rulebook.route_rule import Rulebook


class RulesInUse(Struct, frozen=True):
    """book: as files have them; linked: with what their paths lead to (rulebook.links).

    index: finds the first that a process meets; at_exec: the same while its exec is held. asked: the
    conditions that there are; owned: whether some are users' own. order: of each by its place. excepted:
    those before which an exception stands.
    """

    book: Rulebook
    linked: Rulebook
    index: Index
    at_exec: Index
    asked: frozenset[str]
    owned: bool
    order: Mapping[str, int]
    excepted: frozenset[str]


def in_use(book: Rulebook) -> RulesInUse:
    """All of it, with links as they are now."""
    linked = followed(book, os.path.realpath)
    return RulesInUse(
        book=book,
        linked=linked,
        index=Index(linked.rules),
        at_exec=known_at_exec(linked),
        asked=asked_for(book),
        owned=any(rule.owner for rule in book.rules),
        order={rule.place: at for at, rule in enumerate(book.rules)},
        excepted=with_exceptions(book),
    )


def read() -> Rulebook:
    """All rules of all files. Raises ProcrouteError rules-bad where they must not be used."""
    book = folders.load()
    if book.errors:
        worst = book.errors[0]
        more = f", and {len(book.errors) - 1} more" if len(book.errors) > 1 else ""
        hint = f"{worst.hint}{'' if worst.hint.endswith('?') else ';'} " if worst.hint else ""
        raise ProcrouteError(
            "rules-bad",
            f"{worst.place}: {worst.message}{more}",
            f"{hint}procroute rules check tells all; the rules of before hold",
        )
    return book
