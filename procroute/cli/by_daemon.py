"""`procroute run` by the daemon: it places this process, which then becomes the command.

What is asked and answered is protocol's Run and Placed, written and read by hand here: msgspec and
json take longer to import than all the rest takes (docs/decisions/0010-a-quick-run.md).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from procroute.client.connection import TIMEOUT, Connection, framed
from procroute.errors import ProcrouteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final, NoReturn

VERSION: Final = 1
"""Of the protocol, as there; a test compares."""
_SHOWN_WORDS, _SHOWN_BYTES = 512, 16_384
"""So much of a command is told to the daemon, which shows it: an argument list may have megabytes."""


def run(connection: Connection, route: Mapping[str, Any], command: Sequence[str]) -> NoReturn:
    """Be placed on a route, and become the command. route: what is given of a protocol.Wanted.

    Raises ProcrouteError: what the daemon says, daemon-silent, daemon-lost, command-not-found,
    command-not-executable, lookups-not-closed. Then the command was not started.
    """
    request = {"do": "run", "v": VERSION, "route": route, "command": _shown(command)}
    go_on = None
    if os.isatty(2):
        from procroute.cli import afterwards

        go_on = afterwards.fork(connection, route, command[0])
        request["ending"] = go_on is not None
    connection.send(framed(_written(request).encode()))
    placed = _read(connection.receive(TIMEOUT))
    connection.close()
    if go_on is not None:
        go_on()
    notes = placed.get("notes")
    if notes:
        from procroute.cli import output

        for note in notes:
            output.tell(note)
    resolv_conf = placed.get("resolv_conf")
    if resolv_conf is not None and os.geteuid() == 0:
        _close_lookups(resolv_conf)
    become(command)


def become(command: Sequence[str]) -> NoReturn:
    """Execute the command as if it had been started directly: Python's changes to signals are undone.

    Raises ProcrouteError command-not-found and command-not-executable.
    """
    from procroute.engine.execute import execute, failure

    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # an exec that hangs can be interrupted
    try:
        execute(command, os.environ)
    except OSError as e:
        raise failure(command[0], e.errno or 0) from e


def _close_lookups(resolv_conf: str) -> None:
    from procroute.kernel.mounts import private_lookups

    try:
        private_lookups(resolv_conf)
    except OSError as e:
        raise ProcrouteError(
            "lookups-not-closed",
            f"the command's name look-ups could not be set up: {e.strerror or e}",
            "--dns system leaves them as they are",
        ) from e


def _shown(command: Sequence[str]) -> list[str]:
    """As much of a command as is worth telling, without bytes that are no UTF-8."""
    words, room = [], _SHOWN_BYTES
    for word in command[:_SHOWN_WORDS]:
        words.append(word[:room])
        room -= len(word)
        if room <= 0:
            break
    return words


def _written(value: Any) -> str:
    """As JSON: what a request has of it."""
    if isinstance(value, str):
        from _json import encode_basestring_ascii as quoted

        return quoted(value.encode(errors="surrogateescape").decode(errors="replace"))
    if isinstance(value, dict):
        return "{" + ",".join(f"{_written(key)}:{_written(v)}" for key, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_written, value)) + "]"
    return "true" if value is True else "false" if value is False else str(value)


class _Plain:
    """How JSON is read: as json.JSONDecoder does by default, which is slow to import."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012 - what the scanner wants


def _read(text: bytes) -> dict[str, Any]:
    """A Placed as a dictionary. Raises the daemon's own errors, and protocol for anything else."""
    from _json import make_scanner

    try:
        reply, end = make_scanner(_Plain)(  # type: ignore[arg-type]
            text.decode(), 0
        )
    except (ValueError, StopIteration, RecursionError, SystemError):  # the last: half a string
        reply, end = None, 0
    if not isinstance(reply, dict) or end != len(text.decode(errors="replace")):
        raise ProcrouteError("protocol", "procrouted's answer is not understood")
    kind = reply.get("is")
    if kind == "error":
        said = [reply.get(key) or "" for key in ("code", "message", "hint")]
        raise ProcrouteError(*map(str, said))
    if reply.get("v", VERSION) != VERSION:
        from procroute.client import failures

        raise failures.other_version(reply["v"], VERSION)
    if kind != "placed":
        raise ProcrouteError("protocol", "procrouted has answered another question than the one asked")
    return reply
