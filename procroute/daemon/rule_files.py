"""Rule files as the daemon writes them for who asks: whole or not at all, and for root alone to change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from procroute.core.access import EVERYBODY, Peer
from procroute.errors import ProcrouteError
from procroute.identity import CONFIG_FILE
from procroute.kernel import files
from procroute.model import Allowed
from procroute.protocol import AddRule, EditRule
from procroute.rulebook import editing
from procroute.rulebook.folders import ADDED, ADDED_PASSING, ENDING, FOLDERS, USERS, load
from procroute.rulebook.owner import check_owner
from procroute.rulebook.reading import read_text, rule_of
from procroute.rulebook.route_rule import RouteRule, Rulebook
from procroute.rulebook.shape import WrittenRule
from procroute.rulebook.trusted import DistrustError, read
from procroute.terminal import printable
from procroute.written.document import Wrong

_LASTING, _PASSING = FOLDERS
_MODE: Final = 0o644
"""Everybody may read rules, as they may the configuration."""
_ROOM: Final = 128
"""Rules that a user may have."""


def add(peer: Peer, asked: AddRule, access: dict[str, Allowed]) -> RouteRule:
    """Write one more rule. access: as configured. Raises ProcrouteError and OSError; then there is none."""
    rulebook = _sound()
    name = asked.file or (ADDED_PASSING if asked.passing else ADDED)
    name = name if name.endswith(ENDING) else f"{name}{ENDING}"
    if "/" in name or name.startswith(".") or not name.isprintable():
        raise ProcrouteError(
            "usage",
            f"{printable(name)} is no name of a rule file",
            "such as 20-mine.toml: no folder, no dot before",
        )
    below = Path() if peer.is_root else Path(USERS, str(peer.uid))
    lasting, passing = (folder / below / name for folder in (_LASTING, _PASSING))
    path = passing if asked.passing else lasting
    _check_shadows(path, lasting, passing)
    text = editing.added(_text(path), asked.rule, str(path))
    rules = read_text(text, str(path), peer.uid).rules
    if not peer.is_root:
        _check_owner(rules[-1], peer, access)
        if len([rule for rule in rulebook.rules if rule.owner == peer.uid]) >= _ROOM:
            raise ProcrouteError("not-permitted", f"you have {_ROOM} rules", "procroute rules remove")
    files.replace(path, text, _MODE)
    return rules[-1]


def checked(written: WrittenRule, peer: Peer, access: dict[str, Allowed]) -> RouteRule:
    """A rule that is in no file, as its owner may have it. Raises ProcrouteError rule-bad, not-permitted."""
    rule = rule_of(written)
    if isinstance(rule, Wrong):
        raise ProcrouteError("rule-bad", rule.message, rule.hint)
    rule = replace(rule, owner=peer.uid)
    _check_owner(rule, peer, access)
    return rule


def edit(peer: Peer, asked: EditRule) -> RouteRule:
    """Remove a rule, or switch it; the rule as it was. Raises ProcrouteError and OSError."""
    rule = _meant(peer, asked.rule)
    path = Path(rule.file)
    text = _text(path)
    if asked.edit == "remove":
        text = editing.removed(text, rule.nth, rule.file)
    else:
        text = editing.switched(text, rule.nth, rule.file, enabled=asked.edit == "enable")
    files.replace(path, text, _MODE)
    return rule


def _check_shadows(path: Path, lasting: Path, passing: Path) -> None:
    """Raises ProcrouteError usage where the new rule would not hold, or where other rules no longer would."""
    if path == passing and os.path.lexists(lasting):
        raise ProcrouteError("usage", f"{lasting} shadows {path}", "say another name of a file: --file NAME")
    if path == lasting and passing.exists() and not os.path.lexists(lasting):
        raise ProcrouteError(
            "usage", f"{path} would shadow {passing}", "say another name of a file: --file NAME"
        )


def _check_owner(rule: RouteRule, peer: Peer, access: dict[str, Allowed]) -> None:
    allowed = access.get(peer.name) or access.get(EVERYBODY) or Allowed()
    check_owner(rule, peer.uid, peer.name, allowed)


def _meant(peer: Peer, words: str) -> RouteRule:
    if words.startswith((f"{CONFIG_FILE}:", f"{Path(CONFIG_FILE).name}:")):
        raise ProcrouteError(
            "rule-unknown",
            f"{printable(words)} is over_unit or over_exe of a tunnel",
            f"change it in {CONFIG_FILE}, then procroute reload",
        )
    rules = _sound().rules
    mine = [rule for rule in rules if peer.is_root or rule.owner == peer.uid]
    found = [rule for rule in mine if words in _names(rule)]
    if len(found) == 1:
        return found[0]
    hint = "procroute rules list tells them: FILE:LINE"
    if found:
        places = ", ".join(rule.place for rule in found)
        raise ProcrouteError(
            "rule-unknown", f"{printable(words)} may be {places}", "say which, with its folder"
        )
    if any(words in _names(rule) for rule in rules if rule.owner == 0 or words == rule.place):
        raise ProcrouteError("not-permitted", f"{printable(words)} is not yours", "root may change all")
    raise ProcrouteError("rule-unknown", f"there is no rule {printable(words)}", hint)


def _names(rule: RouteRule) -> tuple[str, str]:
    """By which a rule can be asked for: FILE:LINE, with and without its folder."""
    return rule.place, f"{Path(rule.file).name}:{rule.line}"


def _sound() -> Rulebook:
    """What there is. Raises ProcrouteError rules-bad where that is not taken: nothing added would hold."""
    rulebook = load()
    if errors := rulebook.errors:
        hint = "mend that first; procroute rules check tells all"
        raise ProcrouteError("rules-bad", f"{errors[0].place}: {errors[0].message}", hint)
    return rulebook


def _text(path: Path) -> str:
    try:
        return read(path).decode()
    except FileNotFoundError:
        return ""
    except (DistrustError, UnicodeDecodeError) as e:
        raise ProcrouteError("rules-bad", f"{path}: {e}", "mend that first") from e
