"""Who tells at a terminal, after `run` has become the command, that it handed its work over (core/single.py).

A process that is nobody's child, in a session of its own and on no route, waits for the daemon's word, for as
long as that may take. It is forked before the command is placed: afterwards it would be placed, too.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # a quick run comes through here
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from procroute.client.connection import Connection

LONGEST = 10.0
"""Of core/single.py, which a test compares; in seconds."""
_ALL = 1 << 30


def fork(connection: Connection, route: Mapping[str, Any], word: str) -> Callable[[], None] | None:
    """Fork who waits; it has nothing to do until what is returned is called, and ends if it never is.

    None: there is no process to be had. connection: on which `run` is asked for, with `ending`; word: by
    which the command is called.
    """
    heard, told = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(heard)
        os.close(told)
        return None
    if not child:
        try:
            os.close(told)
            os.setsid()
            if not os.fork():
                _wait(heard, connection, route, word)
        finally:
            os._exit(0)
    os.close(heard)

    def go_on() -> None:
        """The command is placed: wait for its end."""
        os.write(told, b"1")
        os.close(told)
        try:
            os.waitpid(child, 0)
        except ChildProcessError:  # whoever called has SIGCHLD ignored
            pass

    return go_on


def _wait(heard: int, connection: Connection, route: Mapping[str, Any], word: str) -> None:
    """Nobody must have to wait for us: no descriptor stays but what it takes."""
    keep = sorted({2, heard, connection.fileno()})
    for before, after in zip([-1, *keep], [*keep, _ALL], strict=True):
        os.closerange(before + 1, after)
    if not os.read(heard, 1):
        return
    os.close(heard)
    from procroute.errors import ProcrouteError

    try:
        text = connection.receive(LONGEST)
    except ProcrouteError:
        return
    from procroute import protocol
    from procroute.core.single import advice, handed_over

    event = protocol.read_event(text)
    if not isinstance(event, protocol.Removed) or event.ending is None or event.ending.status is None:
        return
    if not handed_over(event.ending.status, 0, made_sockets=event.ending.sockets):
        return
    from procroute.cli import output
    from procroute.engine.single import older
    from procroute.engine.words import describe
    from procroute.kernel.pinned import identify

    ourselves = identify(os.getpid())
    pid = older(word, os.geteuid(), ourselves) if ourselves is not None else None
    if pid is not None:
        output.tell_late(*advice(describe(pid), pid, route["via"], strict=route.get("strict", False)))
