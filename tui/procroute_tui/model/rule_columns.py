"""The columns of the rules: what a rule has in each, and which fit a width."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from procroute.terminal import printable
from procroute_tui.model import rules, words
from procroute_tui.model.columns import GAP, Role, Users
from procroute_tui.model.rules import RuleRow


class RuleColumn(Struct, frozen=True):
    """A column. weight: how soon it is dropped, the highest first, 0: never; flexible: its share of what room
    is left."""

    key: str
    title: str
    width: int
    weight: int = 0
    right: bool = False
    flexible: int = 0


COLUMNS: Final = (
    RuleColumn("number", "#", 5, 3, right=True),
    RuleColumn("sign", "", 1),
    RuleColumn("place", "RULE", 17, 1, flexible=1),
    RuleColumn("whose", "WHOSE", 6, 4, flexible=1),
    RuleColumn("who", "WHO TAKES IT", 17, flexible=5),
    RuleColumn("way", "WAY", 12, flexible=1),
    RuleColumn("finds", "FINDS", 5, 2),
    RuleColumn("placed", "NOW", 4, right=True),
)


def layout(room: int) -> list[tuple[RuleColumn, int]]:
    """The columns that fit so many cells, each with its width."""
    shown = list(COLUMNS)
    while _needs(shown) > room and any(column.weight for column in shown):
        heaviest = max(column.weight for column in shown)
        shown = [column for column in shown if column.weight != heaviest]
    spare = max(room - _needs(shown), 0)
    shares = sum(column.flexible for column in shown)
    widths = [column.width + spare * column.flexible // shares for column in shown]
    at = next(i for i, column in enumerate(shown) if column.key == "who")
    widths[at] += max(room - sum(widths) - GAP * (len(shown) - 1), 0)
    return list(zip(shown, widths, strict=True))


def _needs(columns: list[RuleColumn]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def cell(row: RuleRow, key: str, users: Users) -> tuple[str, Role]:
    """The text of a rule in a column, and what it means, which is never told by colour alone."""
    rule = row.rule
    plain: Role = "" if rule.enabled else "dim"
    match key:
        case "number":
            return str(row.number), "dim"
        case "sign":
            sign = "!" if row.wrong else "?" if row.doubts else ""
            return (sign, "bad") if sign else ("" if rule.enabled else "–", "dim")
        case "place":
            return rules.short(rule.place), plain
        case "whose":
            return printable(users(rule.owner)), plain
        case "who":
            return rules.who(rule), "name" if rule.enabled else "dim"
        case "way":
            return rules.way(rule), "route" if rule.enabled and rule.via else plain
        case "finds":
            return (rule.finds, plain) if rule.enabled else ("off", "dim")
        case _:
            return (str(row.placed), "") if row.placed else (words.NONE, "dim")
