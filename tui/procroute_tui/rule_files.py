"""Rules and this machine: where those of whoever looks are written, and what they name that is not here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from procroute.protocol import RuleFacts
from procroute.rulebook.doubts import doubts
from procroute.rulebook.folders import ADDED, ADDED_PASSING, FOLDERS, USERS
from procroute.rulebook.route_rule import Conditions, RouteRule


def rule_file(*, passing: bool) -> Path:
    """Where the daemon writes a rule of ours. passing: until the next start of the machine."""
    lasting_folder, passing_folder = FOLDERS
    folder, name = (passing_folder, ADDED_PASSING) if passing else (lasting_folder, ADDED)
    return (folder / USERS / str(os.geteuid()) if os.geteuid() else folder) / name


def doubts_of(rules: Iterable[RuleFacts]) -> dict[str, tuple[str, ...]]:
    """What is not there, by the rule's place. Whether its way is there the daemon knows. Looks at files: not
    in the loop."""
    found = {}
    for rule in rules:
        asked = RouteRule(_conditions(rule.conditions), None, _conditions(rule.unless), enabled=rule.enabled)
        if said := doubts([asked], ()):
            found[rule.place] = tuple(each.message for each in said)
    return found


def _conditions(given: Mapping[str, list[str]]) -> Conditions:
    known = Conditions.__struct_fields__
    return Conditions(**{key: tuple(any_of) for key, any_of in given.items() if key in known})
