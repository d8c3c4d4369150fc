"""What holder and daemon say: JSON objects, one a packet, over a SOCK_SEQPACKET socket that only root opens.

Daemon to holder:

    {"say": "hold", "number": 3, "rules": [RULE, …], "more": false}
        All rules from now on, in their order, instead of those of before; in parts while "more".
        RULE: {"key": …, "paths": […], "when_down": "deny" or "allow", "uids": [1000, …] or null, "by": …}
        by: who opens one of the files while he runs this program is held; "": who executes one.
    {"say": "answer", "event": 7, "allow": true}
    {"say": "busy", "events": [7, …]}
        It is at these, and needs longer.
    {"say": "here"}
        To each "decided", so that a daemon which was silent is known not to be any more.

Holder to daemon:

    {"say": "hello", "version": 1, "pid": …, "rules": …, "untold": …}
        First. How many rules it has from before, and how many decisions nobody will be told of, besides those
        that follow now.
    {"say": "holding", "number": 3, "files": 12, "faults": {PATH: WHY, …}}
        Whenever all paths have been followed to where they lead. number: of the last "hold"; 0: of none yet.
    {"say": "exec", "event": 7, "pid": …, "began": …, "paths": […], "path": …, "uid": -1, "gid": -1}
        It is held. paths: those of rules that mean the file, as they are written: so they mean the same to a
        daemon that has read other rules since. uid, gid: the effective ones that it gets by the file; -1: it
        keeps its own.
    {"say": "decided", "pid": …, "began": …, "keys": […], "path": …, "allow": …, "why": …, "at": …}
        Done without the daemon. at: seconds since the epoch. why: "no-daemon"; "late": it has not answered
        this one; "silent": nor said anything since; "unseen": by a process of another pid namespace; "own":
        of the daemon's own program, by root while there is no daemon, or it could not be started.

A path is the file's as it is executed, which may be another link to it; where an open is held, that of the
program which opens. Text may hold lone surrogates, for bytes that are no UTF-8 (os.fsdecode).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from procroute.core.hold_rules import HoldRule
from procroute.kernel.set_ids import KEPT

VERSION: Final = 3
ROOM: Final = 1 << 17
"""Bytes of the largest packet."""
_PART: Final = 1 << 15
"""Bytes of rules in one packet, and at least one rule."""


class Exec(NamedTuple):
    """A process that executes a file, or opens one, and is held.

    began: clock ticks since boot. paths: those of rules that mean the file. path: of the program. uid, gid:
    see kernel.set_ids.
    """

    event: int
    pid: int
    began: int
    paths: tuple[str, ...]
    path: str
    uid: int = KEPT
    gid: int = KEPT


class Decided(NamedTuple):
    """An exec that was not the daemon's to decide, and what became of it; see above."""

    pid: int
    began: int
    keys: tuple[str, ...]
    path: str
    allow: bool
    why: str
    at: float


class Hello(NamedTuple):
    """The first word. pid: the holder's."""

    pid: int
    rules: int
    untold: int


class Holding(NamedTuple):
    """All paths are followed. files: how many are held. faults: path -> why execs by it are not all held.

    number: of what `hold` was told last; 0: of what was held before.
    """

    number: int
    files: int
    faults: dict[str, str]


Said = Exec | Decided | Hello | Holding


def encode(say: str, **words: Any) -> bytes:
    """A packet."""
    return json.dumps({"say": say, **words}, separators=(",", ":")).encode()


def decode(packet: bytes) -> dict[str, Any]:
    """What is said by a packet. Raises ValueError."""
    found = json.loads(packet)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def said(packet: bytes) -> Said | None:
    """What the holder says; None: something that this daemon does not know. Raises ValueError, KeyError."""
    words = decode(packet)
    match words.pop("say"):
        case "exec":
            return Exec(**words | {"paths": tuple(words["paths"])})
        case "decided":
            return Decided(**words | {"keys": tuple(words["keys"])})
        case "hello":
            if words.pop("version") != VERSION:
                raise ValueError("another version")
            return Hello(**words)
        case "holding":
            return Holding(**words)
    return None


def hold(rules: Iterable[HoldRule], number: int) -> Iterator[bytes]:
    """The packets that tell the holder its rules. number: comes back with "holding"."""
    part: list[dict[str, Any]] = []
    size = 0
    for rule in rules:
        words = rule._asdict() | {"uids": None if rule.uids is None else sorted(rule.uids)}
        part.append(words)
        size += len(json.dumps(words))
        if size > _PART:
            yield encode("hold", number=number, rules=part, more=True)
            part, size = [], 0
    yield encode("hold", number=number, rules=part, more=False)


def rules_of(words: dict[str, Any]) -> Iterator[HoldRule]:
    """The rules in a "hold". Raises KeyError, TypeError, ValueError."""
    for rule in words["rules"]:
        if rule["when_down"] not in ("deny", "allow"):
            raise ValueError(rule["when_down"])
        uids = None if rule["uids"] is None else frozenset(map(int, rule["uids"]))
        paths = tuple(map(str, rule["paths"]))
        yield HoldRule(str(rule["key"]), paths, rule["when_down"], uids, str(rule["by"]))
