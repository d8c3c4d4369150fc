"""A command that has the terminal to itself until it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from typing import Final

from procroute_tui.launching import Launch, not_started

_TERMINAL: Final = 0
"""The descriptor of standard input."""


def in_terminal(launch: Launch) -> int:
    """Run it in the foreground of this terminal, which has to be free; its exit status, as a shell has it.

    What it has written can be read until somebody presses Enter: it counts also if that was typed before, and
    the command has left it. Raises ProcrouteError launch-failed.
    """
    with _signals_are_for_it(), _lent():
        try:
            status = subprocess.Popen(launch.words()).wait()
        except OSError as e:
            raise not_started(launch, e) from e
    status = 128 - status if status < 0 else status
    with _signals_are_for_it():
        sys.stdout.write(f"\n{launch.shown} has ended with {status}: Enter leads back ")
        sys.stdout.flush()
        sys.stdin.readline()
    return status


@contextlib.contextmanager
def _signals_are_for_it() -> Iterator[None]:
    """Ctrl-C and Ctrl-\\ reach us as well: they end a command, or mean something else to it, but not us.

    By a handler, which is not inherited where a command is executed, as being ignored is (execve(2)).
    """
    before = {each: signal.signal(each, lambda *_: None) for each in (signal.SIGINT, signal.SIGQUIT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextlib.contextmanager
def _lent() -> Iterator[None]:
    """A command that dies may leave the terminal without echo and lines (termios(3)), or to a process group
    of its own, as a shell does: Enter would not reach us, or reading it would stop us."""
    try:
        before = termios.tcgetattr(_TERMINAL)
    except termios.error:  # there is none
        yield
        return
    try:
        yield
    finally:
        handler = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # we may be in the background
        with contextlib.suppress(OSError, termios.error):
            os.tcsetpgrp(_TERMINAL, os.getpgrp())
            termios.tcsetattr(_TERMINAL, termios.TCSANOW, before)
        signal.signal(signal.SIGTTOU, handler)
