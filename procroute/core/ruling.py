"""What route rules ask of the daemon: which execs to hold, which units to take, whom to look at on news."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from typing import Final

from msgspec.structs import replace

from procroute.core import asking
from procroute.core.hold_rules import NO_STARTER, HoldRule, Starter
from procroute.model import Route
from procroute.protocol import Wanted
from procroute.rulebook.index import Index
from procroute.rulebook.route_rule import Conditions, RouteRule, Rulebook

_AFTER: Final = frozenset({"command"})
"""Conditions that only the executed program tells: while its exec is held, it has not got its words yet."""


class Kind(Enum):
    """How processes that a rule is for are found.

    HELD: their exec waits until they are on the route. UNIT: the unit's cgroup follows in place, from its
    first program on where systemd starts that by one that can be held, else from the news of it. USER: the
    user's slice does, where systemd keeps one; what is not in it is found by news. OWNER: of such a rule
    where the tree of cgroups is not systemd's: his sockets carry the route's mark from birth, by whose they
    are. NEWS: the kernel tells of who has come or become another, so the first packets may go before.
    """

    HELD = "held"
    UNIT = "unit"
    USER = "user"
    OWNER = "owner"
    NEWS = "news"


_WHOLE: Final = {"unit": Kind.UNIT, "app": Kind.UNIT, "user": Kind.USER}
"""Of conditions that hold of all that is in a cgroup, or of nobody there. A desktop application is a unit."""


def kind(rule: RouteRule) -> Kind:
    """How a rule finds its processes, as far as that hangs on the rule alone: OWNER takes more."""
    given = rule.conditions.given
    if "exe" in given and not _AFTER & set(given):
        return Kind.HELD
    alone = next(iter(given)) if rule.unless is None and len(given) == 1 else ""
    return _WHOLE.get(alone, Kind.NEWS)


def hold_rules(
    book: Rulebook, strict: Callable[[RouteRule], bool], starter: Starter = NO_STARTER
) -> list[HoldRule]:
    """The execs to hold, of exceptions, too; none where no rule leads to a route. strict: of the route that a
    rule leads to.

    starter: it starts the programs of all other units, too: so it is allowed where nobody answers. It is held
    as it loads its library, as process 1 waits until it has been executed.
    """
    found: list[HoldRule] = []
    for rule in book.rules if any(map(leads, book.rules)) else ():
        who = frozenset({rule.owner}) if rule.owner else None
        if is_held(rule):
            down = rule.if_down(strict=rule.via is not None and strict(rule))
            found.append(HoldRule(rule.place, rule.conditions.exe, down, who))
        elif starter.program and leads(rule) and kind(rule) is Kind.UNIT:
            by = starter.program if starter.opens else ""
            found.append(HoldRule(rule.place, (starter.opens or starter.program,), "allow", who, by))
    return found


def elsewhere(before: Rulebook, now: Rulebook) -> dict[str, str]:
    """The places of rules that stand elsewhere now, with the new one; "": it is gone, and another has its
    place. A rule is the same where all is that it says, but its comment."""
    there: dict[RouteRule, str] = {}
    for rule in filter(leads, now.rules):
        there.setdefault(_said(rule), rule.place)
    taken = set(there.values())
    found = {}
    for rule in filter(leads, before.rules):
        place = there.get(_said(rule), "" if rule.place in taken else rule.place)
        if place != rule.place:
            found[rule.place] = place
    return found


def gone(before: Rulebook, now: Rulebook) -> tuple[RouteRule, ...]:
    """Rules that led to a route and are nowhere now, nor has another their place: it can come to have it."""
    there = {_said(rule) for rule in now.rules if leads(rule)}
    taken = {rule.place for rule in now.rules if leads(rule)}
    return tuple(r for r in before.rules if leads(r) and r.place not in taken and _said(r) not in there)


def exceptions_again(before: Rulebook, now: Rulebook) -> dict[int, int]:
    """The exceptions that there still are: by the number in their order of before, with the one of now."""
    there: dict[RouteRule, int] = {}
    for at, rule in enumerate(now.rules):
        if rule.enabled and rule.via is None:
            there.setdefault(_said(rule), at)
    return {at: there[said] for at, rule in enumerate(before.rules) if (said := _said(rule)) in there}


def leads(rule: RouteRule) -> bool:
    """Whether a rule leads to a route: it is switched on, and no exception."""
    return rule.enabled and rule.via is not None


def _said(rule: RouteRule) -> RouteRule:
    return replace(rule, comment="", file="", line=0, nth=0)


def with_exceptions(book: Rulebook) -> frozenset[str]:
    """The places of rules before which an exception stands: not all that they mean may follow as a whole."""
    at = next((n for n, rule in enumerate(book.rules) if rule.enabled and rule.via is None), len(book.rules))
    return frozenset(rule.place for rule in book.rules[at:])


def asked_for(book: Rulebook) -> frozenset[str]:
    """The conditions that some rule has: what has to be known of a process."""
    given: Iterable[Conditions] = (
        part for rule in book.rules if rule.enabled for part in (rule.conditions, rule.unless) if part
    )
    return frozenset(key for part in given for key in part.given)


def needs_news(book: Rulebook, by_owner: Collection[str] = ()) -> bool:
    """Whether somebody has to be looked at on news. by_owner: the places of rules that need none, as all whom
    they mean is known by whose sockets are.

    Also with a name beside `exe`: who is executed by a link to the file is called by that.
    """
    return any(
        leads(rule) and (kind(rule) is not Kind.HELD or "name" in _given(rule)) and rule.place not in by_owner
        for rule in book.rules
    )


def known_at_exec(book: Rulebook) -> Index:
    """The rules that can be judged while an exec is held, before the program has its words.

    Whose `exe` holds is told by who holds it: paths may lead there by links.
    """
    return Index((rule for rule in book.rules if not _unknown(rule)), is_held)


def is_held(rule: RouteRule) -> bool:
    """Whether execs are held for a rule."""
    return rule.enabled and kind(rule) is Kind.HELD


def _unknown(rule: RouteRule) -> bool:
    return bool(_given(rule) & _AFTER)


def _given(rule: RouteRule) -> set[str]:
    return set(rule.conditions.given) | (set(rule.unless.given) if rule.unless else set())


def wanted(rule: RouteRule, named: Mapping[str, Route]) -> Wanted:
    """The route that a rule leads to, as its owner asks for it. named: those of the configuration.

    A user asks for it by its name: what the configuration gives it, he does not give.
    """
    via = rule.via
    if via is None:
        raise ValueError("a rule that leads to no route")
    return asking.wanted(via.route({} if rule.owner else named))
