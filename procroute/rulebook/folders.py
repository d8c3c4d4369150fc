"""Which rule files there are, and in which order they are asked.

/etc/procroute/rules.d/*.toml        the administrator's
/run/procroute/rules.d/*.toml        until the next start of the machine
….d/users/UID/*.toml                 of that user, kept by the daemon; after all of those above

A file in /etc shadows one of the same name in /run, as systemd.unit(5) has it: what somebody wrote for good
holds against what a program put there for now; an empty one, or a link to /dev/null, masks it. Users' files
shadow only their own. Examples that are shipped are in no folder that is read: they have to be copied.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from procroute.rulebook.reading import read_text
from procroute.rulebook.route_rule import Rulebook
from procroute.rulebook.trusted import ROOT, DistrustError, names, read
from procroute.written.document import UnreadableError, decode
from procroute.written.files import NoFileError, read_any
from procroute.written.finding import Finding

FOLDERS: Final = (Path("/etc/procroute/rules.d"), Path("/run/procroute/rules.d"))
"""Those that come first shadow the later ones."""
USERS: Final = "users"
ENDING: Final = ".toml"
ADDED: Final = "90-added.toml"
"""The file that rules are added to where no other is named."""
ADDED_PASSING: Final = "90-passing.toml"
"""The same until the next start of the machine; ADDED in /etc would shadow its like in /run."""
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
    books = list(_books(folders, 0, trusted))
    uids, problems = _uids(folders, trusted)
    for uid in uids:
        own = list(_books([folder / USERS / str(uid) for folder in folders], uid, trusted))
        books += [_left_out(book, uid) for book in own] if any(book.errors for book in own) else own
    return Rulebook(
        tuple(rule for book in books for rule in book.rules),
        (*problems, *(finding for book in books for finding in book.findings)),
    )


def fingerprint(folders: Sequence[Path] = FOLDERS, trusted: int = ROOT) -> bytes:
    """The same as before only where `load` gives the same: of which files there are, what is in them, and
    who could have written them."""
    uids, problems = _uids(folders, trusted)
    seen = hashlib.sha256(repr(problems).encode())
    for owner in (0, *uids):
        places = [folder / USERS / str(owner) for folder in folders] if owner else folders
        files, problems = _files(places, owner, trusted)
        seen.update(repr((owner, problems)).encode())
        for file in files:
            try:
                data = read(file.path, trusted)
            except (DistrustError, NoFileError, OSError) as e:
                data = repr(e).encode()
            seen.update(repr((str(file.path), len(data))).encode())
            seen.update(data)
    return seen.digest()


def read_file(path: Path, owner: int = 0) -> Rulebook:
    """The rules of one file, whoever wrote it: to check it."""
    try:
        return _parsed(RuleFile(path, owner), read_any(path))
    except (DistrustError, NoFileError, OSError) as e:
        return _unread(path, e)


def order(name: str) -> tuple[float, str]:
    """Sorts names of files: by the number that they begin with, then by name; without a number, last."""
    found = _NUMBER.match(name)
    return (int(found[0]) if found and len(found[0]) < 10 else math.inf, name)


def _read(file: RuleFile, trusted: int) -> Rulebook:
    try:
        return _parsed(file, read(file.path, trusted))
    except (DistrustError, NoFileError, OSError) as e:
        return _unread(file.path, e)


def _parsed(file: RuleFile, data: bytes) -> Rulebook:
    try:
        return read_text(decode(data), os.fspath(file.path), file.owner)
    except UnreadableError as e:
        return Rulebook((), (Finding(os.fspath(file.path), e.line, True, e.message, e.hint),))


def _unread(path: Path, e: DistrustError | NoFileError | OSError) -> Rulebook:
    words = f"cannot be read: {e.strerror or e}" if isinstance(e, OSError) else str(e)
    hint = "chown root and chmod go-w it, or remove it" if isinstance(e, DistrustError) else ""
    return Rulebook((), (Finding(os.fspath(path), 0, True, words, hint),))


def _books(folders: Sequence[Path], owner: int, trusted: int) -> Iterator[Rulebook]:
    """File by file what is in some folders; and what is wrong with them."""
    files, problems = _files(folders, owner, trusted)
    yield Rulebook((), problems)
    for file in files:
        yield _read(file, trusted)


def _files(folders: Sequence[Path], owner: int, trusted: int) -> tuple[list[RuleFile], tuple[Finding, ...]]:
    """The files of some folders in their order, without those that are shadowed; and what is wrong."""
    found: dict[str, RuleFile] = {}
    problems: list[Finding] = []
    for folder in folders:
        here, problem = _names(folder, trusted)
        problems += problem.findings
        for name in here:
            if name.endswith(ENDING) and not name.startswith("."):
                found.setdefault(name, RuleFile(folder / name, owner))
    return [found[name] for name in sorted(found, key=order)], tuple(problems)


def _uids(folders: Sequence[Path], trusted: int) -> tuple[list[int], tuple[Finding, ...]]:
    """Whose rules there are, in order."""
    found: set[int] = set()
    problems: list[Finding] = []
    for folder in folders:
        inside, _ = _names(folder, trusted)  # what is wrong with that is told already
        here, problem = _names(folder / USERS, trusted) if USERS in inside else ([], Rulebook())
        found |= {int(name) for name in here if _UID.fullmatch(name)}
        problems += problem.findings
        problems += [_no_uid(folder / USERS / name) for name in here if not _UID.fullmatch(name)]
    return sorted(found), tuple(problems)


def _no_uid(path: Path) -> Finding:
    hint = f"a user's rules stand in {USERS}/UID; id -u NAME says his"
    return Finding(os.fspath(path), 0, False, "is called by no uid, and not read", hint)


def _names(folder: Path, trusted: int) -> tuple[list[str], Rulebook]:
    """What is in a folder; and what is wrong with it. One that is not there is empty."""
    try:
        return names(folder, trusted), Rulebook()
    except (DistrustError, NoFileError, OSError) as e:
        if isinstance(e, FileNotFoundError) and not folder.is_symlink():
            return [], Rulebook()
        return [], _unread(folder, e)


def _left_out(book: Rulebook, uid: int) -> Rulebook:
    """A user's mistake is his own: none of his rules is used, all others are."""
    return Rulebook(
        (),
        tuple(
            Finding(f.file, f.line, False, f"{f.message} (the rules of uid {uid} are left out)", f.hint)
            for f in book.findings
        ),
    )
