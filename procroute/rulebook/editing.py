"""Rule files, text to text: rules added, removed, switched on and off. Comments and all else stay. Pure.

What comes out has been read again: where it would not hold what was asked for, nothing comes out.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
import tomlkit
from msgspec import UNSET, structs
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from procroute.errors import ProcrouteError
from procroute.rulebook.reading import read_text
from procroute.rulebook.route_rule import RouteRule
from procroute.rulebook.shape import WrittenConditions, WrittenRule
from procroute.terminal import printable

_CODE: Final = "rule-bad"
_HEAD: Final = (
    "# Written by `procroute rules`; yours to edit. What may stand here: docs/rules.md of procroute.\n\n"
)


def added(text: str, rule: WrittenRule, file: str) -> str:
    """The text with one more rule, the last. file: what it is called in errors.

    Raises ProcrouteError rule-bad where the text, or the rule, makes no sense.
    """
    before = _rules(text, file)
    tables = tomlkit.aot()
    tables.append(_table(rule))
    document = tomlkit.document()
    document.append("rule", tables)
    start = text or _HEAD
    gap = "" if start.endswith("\n\n") else "\n" if start.endswith("\n") else "\n\n"
    new = tomlkit.dumps(document).strip("\n") + "\n"
    alone = read_text(new, file)
    for error in alone.errors:
        raise ProcrouteError(_CODE, error.message, error.hint)
    return _sound(start + gap + new, (*before, *alone.rules), file)


def removed(text: str, nth: int, file: str) -> str:
    """The text without its nth rule (RouteRule.nth), and without the comment lines right above it.

    Raises ProcrouteError rule-bad, rule-unknown.
    """
    before = _rules(text, file)
    _check_number(before, nth, file)
    rows = re.split(r"(?<=\n)", text)  # no other sign ends a line of TOML
    start = _begin(rows, before[nth].line)
    end = before[nth + 1].line - 1 if nth + 1 < len(before) else len(rows)
    while not rows[end - 1].strip() or rows[end - 1].lstrip().startswith("#"):  # of the next one, or nobody's
        end -= 1
    while end < len(rows) and not rows[end].strip():
        end += 1
    result = "".join(rows[:start] + rows[end:]).rstrip("\r\n") + "\n"
    return _sound(result, before[:nth] + before[nth + 1 :], file)


def _begin(rows: list[str], line: int) -> int:
    """Where a rule begins whose header is on this line: above it, what is written about it."""
    start = line - 1
    while start and rows[start - 1].lstrip().startswith("#"):
        start -= 1
    return start


def switched(text: str, nth: int, file: str, *, enabled: bool) -> str:
    """The text with its nth rule switched on or off. Raises ProcrouteError rule-bad, rule-unknown."""
    before = _rules(text, file)
    _check_number(before, nth, file)
    if before[nth].enabled == enabled:
        return text
    document = _document(text, file)
    table = document["rule"][nth]
    if enabled and not table.value.item("enabled").trivia.comment:
        del table["enabled"]
    else:
        table["enabled"] = enabled
    wanted = (*before[:nth], structs.replace(before[nth], enabled=enabled), *before[nth + 1 :])
    return _sound(tomlkit.dumps(document), wanted, file)


def _document(text: str, file: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as e:
        raise ProcrouteError(_CODE, f"{file} cannot be edited: {printable(str(e))}", "edit it by hand") from e


def _check_number(rules: tuple[RouteRule, ...], nth: int, file: str) -> None:
    if not 0 <= nth < len(rules):
        raise ProcrouteError("rule-unknown", f"{file} has no rule number {nth + 1}")


def _table(rule: WrittenRule) -> Table:
    """A rule as a table: only what is said."""
    table = tomlkit.table()
    for key, value in _said(rule).items():
        if isinstance(value, dict):
            inner = tomlkit.inline_table()
            inner.update(value)
            table.add(key, inner)
        else:
            table.add(key, value)
    return table


def _said(rule: WrittenRule | WrittenConditions) -> dict[str, Any]:
    """Keys and plain values, in the order of the shape, without defaults."""
    plain = msgspec.to_builtins(rule)
    defaults = {f.encode_name: f.default for f in structs.fields(type(rule))}
    ordered = (key for key in rule.__struct_encode_fields__ if key in plain)
    return {
        key: plain[key]
        for key in ordered
        if defaults[key] is UNSET or plain[key] != msgspec.to_builtins(defaults[key])
    }


def _rules(text: str, file: str) -> tuple[RouteRule, ...]:
    book = read_text(text, file)
    for error in book.errors:
        raise ProcrouteError(_CODE, f"{error.place}: {error.message}", error.hint)
    return book.rules


def _sound(text: str, wanted: tuple[RouteRule, ...], file: str) -> str:
    """The text, if it says what is wanted, wherever in it. Else raises ProcrouteError rule-bad."""
    book = read_text(text, file)
    said = [structs.replace(rule, line=0, nth=0) for rule in book.rules]
    if book.errors or said != [structs.replace(rule, line=0, nth=0) for rule in wanted]:
        message = f"{printable(file)} cannot be edited without changing another rule"
        raise ProcrouteError(_CODE, message, "edit it by hand")
    return text
