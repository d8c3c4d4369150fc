"""Which rule files there are, and in which order they are asked.

/etc/procroute/rules.d/*.toml        the administrator's
/run/procroute/rules.d/*.toml        until the next start of the machine
….d/users/UID/*.toml                 of that user, kept by the daemon; after all of those above

A file in /etc shadows one of the same name in /run, as systemd.unit(5) has it: what somebody wrote for good
holds against what a program put there for now; an empty one, or a link to /dev/null, masks it. Users' files
shadow only their own. Examples that are shipped are in no folder that is read: they have to be copied.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from procroute.rulebook.reading import read_text
from procroute.rulebook.route_rule import Finding, Rulebook
from procroute.rulebook.trusted import ROOT, DistrustError, names, read, read_any
from procroute.written.document import UnreadableError, decode

FOLDERS: Final = (Path("/etc/procroute/rules.d"), Path("/run/procroute/rules.d"))
"""Those that come first shadow the later ones."""
USERS: Final = "users"
ENDING: Final = ".toml"
_NUMBER: Final = re.compile(r"\d+")
_UID: Final = re.compile(r"[1-9]\d{0,9}")


class RuleFile(Struct, frozen=True):
    """A rule file. owner: whose rules are in it; 0: the administrator's."""

    path: Path
    owner: int = 0


def load(folders: Sequence[Path] = FOLDERS, trusted: int = ROOT) -> Rulebook:
    """All rules of all files in their order. trusted: the uid that counts as root (of tests).

    Where it has errors it must not be used. What is wrong with a user's file only leaves his rules out.
    """
    rulebook = Rulebook()
    admin, problems = _listed(folders, 0, trusted)
    rulebook = _joined(rulebook, Rulebook((), tuple(problems)))
    for file in admin:
        rulebook = _joined(rulebook, _read(file, trusted))
    for uid in _uids(folders, trusted):
        own, problems = _listed([folder / USERS / str(uid) for folder in folders], uid, trusted)
        found = Rulebook((), tuple(problems))
        for file in own:
            found = _joined(found, _read(file, trusted))
        rulebook = _joined(rulebook, _left_out(found, uid) if found.errors else found)
    return rulebook


def read_file(path: Path, owner: int = 0) -> Rulebook:
    """The rules of one file, whoever wrote it: to check it."""
    try:
        return _parsed(RuleFile(path, owner), read_any(path))
    except (DistrustError, OSError) as e:
        return _unread(path, e)


def order(name: str) -> tuple[float, str]:
    """Sorts names of files: by the number that they begin with, then by name; without a number, last."""
    found = _NUMBER.match(name)
    return (int(found[0]) if found and len(found[0]) < 10 else math.inf, name)


def _read(file: RuleFile, trusted: int) -> Rulebook:
    try:
        return _parsed(file, read(file.path, trusted))
    except (DistrustError, OSError) as e:
        return _unread(file.path, e)


def _parsed(file: RuleFile, data: bytes) -> Rulebook:
    try:
        return read_text(decode(data), os.fspath(file.path), file.owner)
    except UnreadableError as e:
        return Rulebook((), (Finding(os.fspath(file.path), e.line, True, e.message, e.hint),))


def _unread(path: Path, e: DistrustError | OSError) -> Rulebook:
    if isinstance(e, DistrustError):
        hint = "chown root and chmod go-w, or remove it" if "root" in str(e) else ""
        return Rulebook((), (Finding(os.fspath(path), 0, True, str(e), hint),))
    return Rulebook((), (Finding(os.fspath(path), 0, True, f"cannot be read: {e.strerror or e}"),))


def _listed(folders: Sequence[Path], owner: int, trusted: int) -> tuple[list[RuleFile], list[Finding]]:
    """The files of some folders in their order, without those that are shadowed; and what is wrong."""
    found: dict[str, RuleFile] = {}
    problems: list[Finding] = []
    for folder in folders:
        try:
            here = names(folder, trusted)
        except FileNotFoundError:
            continue
        except (DistrustError, OSError) as e:
            problems += _unread(folder, e).findings
            continue
        for name in here:
            if name.endswith(ENDING) and not name.startswith("."):
                found.setdefault(name, RuleFile(folder / name, owner))
    return [found[name] for name in sorted(found, key=order)], problems


def _uids(folders: Sequence[Path], trusted: int) -> Iterator[int]:
    """Whose rules there are, in order. A folder that cannot be read has no rules, and says so above."""
    found = set()
    for folder in folders:
        try:
            found |= {int(name) for name in names(folder / USERS, trusted) if _UID.fullmatch(name)}
        except (DistrustError, OSError):
            continue
    return iter(sorted(found))


def _joined(one: Rulebook, other: Rulebook) -> Rulebook:
    return Rulebook(one.rules + other.rules, one.findings + other.findings)


def _left_out(found: Rulebook, uid: int) -> Rulebook:
    """A user's mistake is his own: none of his rules is used, all others are."""
    return Rulebook(
        (),
        tuple(
            Finding(f.file, f.line, False, f"{f.message} (the rules of uid {uid} are left out)", f.hint)
            for f in found.findings
        ),
    )
