"""Opens the application: for a person at a terminal, or for a picture."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from procroute.client.connection import attempt, place
from procroute.errors import Exit, ProcrouteError
from procroute.places import SOCKET
from procroute.user_names import user_name as system_name
from procroute_tui import settings
from procroute_tui.link import Link


def main(picture: str | None, size: tuple[int, int] | None) -> int:
    """Until the person quits; or until the picture, an SVG file, is taken. size: cells of the picture.

    Raises ProcrouteError: no daemon that could be asked, no terminal, no place for the picture.
    """
    if picture is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ProcrouteError("no-terminal", "this needs a terminal", "for a picture: --screenshot FILE.svg")
    from procroute_tui.app import Tui  # first, since without Textual nothing is to be started

    with _daemon():
        path = settings.place()
        if picture is not None:
            from procroute_tui.picture import take

            take(Tui(Link(), user_name, settings.Settings(), None), Path(picture), size or (120, 36))
            return Exit.OK
        _ask_the_terminal_for_its_size()
        app = Tui(Link(), user_name, settings.read(path), path)
        app.run()
        if app.return_value is not None:
            raise app.return_value
        return app.return_code or Exit.OK


def _ask_the_terminal_for_its_size() -> None:
    """And not what it was once: programs that use readline(3) hand COLUMNS and LINES down, and Textual would
    believe them for as long as it runs. A terminal that does not know has size 0 (tty_ioctl(4))."""
    if all(os.get_terminal_size(sys.stdout.fileno())):
        os.environ.pop("COLUMNS", None)
        os.environ.pop("LINES", None)


@contextmanager
def _daemon() -> Iterator[None]:
    """One that answers: the one that runs, else for root one of our own until the end."""
    try:
        found = attempt(place())
    except ProcrouteError as e:
        if e.code != "daemon-missing":
            raise
        if os.geteuid() != 0 or place() != SOCKET:  # a daemon listens at the usual place only
            hint = f"{e.hint}; or, for as long as you look: sudo procroute tui"
            raise ProcrouteError(e.code, e.message, hint) from e
        from procroute_tui.own_daemon import running

        with running():
            yield
        return
    if found is not None:
        found.close()
    yield


@cache
def user_name(uid: int) -> str:
    """As the system calls a user; else the number."""
    return system_name(uid) or str(uid)
