"""The text of a rule file as route rules, each with its line; whatever is wrong in it, as findings."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from procroute.rulebook.applications import UNIT_ENDINGS
from procroute.rulebook.route_rule import Conditions, RouteRule, Rulebook, Via
from procroute.rulebook.shape import WrittenConditions, WrittenRule
from procroute.rulebook.sound import SEVERAL, wrong_conditions, wrong_way
from procroute.terminal import printable
from procroute.written.document import UnreadableError, Wrong, convert_all, faults, near, parse
from procroute.written.finding import Finding
from procroute.written.lines import Key, lines, nearest_line
from procroute.written.options import Maybe, given, words


def read_text(text: str, file: str, owner: int = 0) -> Rulebook:
    """The rules of a file in their order, and what is wrong: of a rule with an error there is no RouteRule.

    file: what it is called. owner: the uid whose rules they are. Raises nothing.
    """
    try:
        document = parse(text)
    except UnreadableError as e:
        return Rulebook((), (Finding(file, e.line, True, e.message, e.hint),))
    at = lines(text)
    headers = [line for key, line in at.items() if len(key) == 2 and key[0] == "rule"]
    if problem := _not_rules(document, headers, at, file):
        return Rulebook((), (problem,))
    tables = document.get("rule", [])
    rules, findings = [], []
    for nth, written in enumerate(convert_all(tables, WrittenRule)):
        if isinstance(written, Wrong):
            rule: RouteRule | list[Wrong] = _all_wrong(tables[nth])
        else:
            rule = _rule(written, owner, file, headers[nth], nth)
        if isinstance(rule, RouteRule):
            rules.append(rule)
            continue
        for wrong in rule:
            line = nearest_line(at, ("rule", nth, *wrong.key))
            findings.append(Finding(file, line, True, wrong.message, wrong.hint or _of_kind(wrong)))
    return Rulebook(tuple(rules), tuple(findings))


def rule_of(written: WrittenRule) -> RouteRule | Wrong:
    """A rule that is in no file yet, or what is wrong with it."""
    found = _rule(written, 0, "", 0, 0)
    return found if isinstance(found, RouteRule) else found[0]


def _all_wrong(table: object) -> list[Wrong]:
    """What is wrong with a rule of which some keys or values cannot be: those, and others."""
    wrong, left = faults(table, WrittenRule)
    if left is None:
        return wrong
    bad = {found.key[0] for found in wrong}
    if "via" in bad:
        left = replace(left, via="x")
    more = _rule(left, 0, "", 0, 0)
    if isinstance(more, RouteRule):
        return wrong
    # What is missing, or seems to be empty, may be what was left out.
    return [*wrong, *(found for found in more if found.key and found.key[0] not in bad)]


def _not_rules(document: dict[str, Any], headers: list[int], at: dict[Key, int], file: str) -> Finding | None:
    """What is wrong with a document that has more, or other, than `[[rule]]` tables."""
    for key, value in document.items():
        line = nearest_line(at, (key,))
        if key != "rule":
            hint = "write [[rule]] above it" if key in _KEYS else near(key, ["rule"])
            return Finding(file, line, True, f"{printable(key)} is unknown here", hint)
        if not isinstance(value, list) or len(headers) != len(value):
            return Finding(
                file, line, True, "rule must be tables of their own", "write [[rule]] above each rule"
            )
    return None


def _rule(written: WrittenRule, owner: int, file: str, line: int, nth: int) -> RouteRule | list[Wrong]:
    conditions = _conditions(written)
    unless = None if isinstance(written.unless, Maybe) else _conditions(written.unless)
    options, wrong = given(written)
    wrong += [*wrong_way(written), *wrong_conditions(conditions, ())]
    if unless:
        wrong += wrong_conditions(unless, ("not",))
    if empty := _empty(conditions, unless):
        wrong.append(empty)
    if wrong:
        return wrong
    return RouteRule(
        conditions=conditions,
        via=None if isinstance(written.via, Maybe) else Via(written.via, **options, reset=_reset(written)),
        unless=unless,
        existing="keep" if isinstance(written.existing, Maybe) else written.existing,
        when_down=None if isinstance(written.when_down, Maybe) else written.when_down,
        comment=written.comment,
        enabled=written.enabled,
        owner=owner,
        file=file,
        line=line,
        nth=nth,
    )


def _reset(written: WrittenRule) -> bool | None:
    return None if isinstance(written.existing, Maybe) else written.existing == "reset"


def _of_kind(wrong: Wrong) -> str:
    """A hint for a value of the wrong kind, where another one is likely meant."""
    key = next((name for name in reversed(wrong.key) if isinstance(name, str)), "")
    if key == "via" and "not a list" in wrong.words:
        return SEVERAL
    if key in {"user", "group"} and "not a number" in wrong.words:
        return f'a number stands in quotes: {key} = "1000"'
    return ""


def _empty(conditions: Conditions, unless: Conditions | None) -> Wrong | None:
    if unless and not unless.given:
        return Wrong(("not",), "is empty", f"give it a condition: {', '.join(_CONDITIONS)}")
    if not conditions.given and not unless:
        return Wrong((), "a rule needs a condition", f"give one of: {', '.join(_CONDITIONS)}")
    return None


def _conditions(written: WrittenConditions) -> Conditions:
    found = {key: words(value) for key in _CONDITIONS if (value := getattr(written, key))}
    if "unit" in found:
        found["unit"] = tuple(_whole(unit) for unit in found["unit"])
    return Conditions(**found)


def _whole(unit: str) -> str:
    """A unit's name with its ending, as systemctl(1) takes it; a glob that ends in `*` can have any."""
    return unit if unit.endswith((*UNIT_ENDINGS, "*")) else f"{unit}.service"


_CONDITIONS: Final = Conditions.__struct_fields__
_KEYS: Final = WrittenRule.__struct_encode_fields__
