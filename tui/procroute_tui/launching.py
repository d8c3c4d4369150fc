"""Commands that are started from here: by `procroute run`, as anybody would start them."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from procroute.errors import ProcrouteError
from procroute.terminal import printable

_EARLY = 2.0
"""Seconds within which the end of a command that failed is told: later ones are its own affair."""


class Launch(Struct, frozen=True):
    """A command on a route. main: while its adapter is down it goes the machine's own way. here: in this
    terminal, and nothing else until it ends."""

    adapter: str
    command: tuple[str, ...]
    strict: bool = False
    main: bool = False
    here: bool = False

    def words(self) -> list[str]:
        """What is executed."""
        options = [*(["--strict"] if self.strict else []), *(["--on-down", "main"] if self.main else [])]
        run = [sys.executable, "-m", "procroute", "run", "--via", self.adapter, *options, "--"]
        return [*run, *self.command]

    @property
    def shown(self) -> str:
        """For people."""
        return printable(shlex.join(self.command))


def outputs() -> Path:
    """Where output of commands in the background is kept (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local/state") / "procroute"


async def in_background(launch: Launch, folder: Path) -> Path:
    """Start it in a session of its own; it goes on when the application ends. The file with its output.

    Waits for a moment: raises ProcrouteError launch-failed, with its last words, where it fails at once.
    """
    try:
        path, output = _new_file(folder, launch.command[0])
        with output:
            process = await asyncio.create_subprocess_exec(
                *launch.words(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as e:
        raise not_started(launch, e) from e
    try:
        status = await asyncio.wait_for(process.wait(), _EARLY)
    except TimeoutError:
        return path
    if status:
        said = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        told = "; ".join(printable(line).strip() for line in said)
        raise ProcrouteError("launch-failed", f"{launch.shown} has ended with {status}", told)
    return path


def not_started(launch: Launch, error: OSError) -> ProcrouteError:
    """What to raise for it."""
    return ProcrouteError("launch-failed", f"{launch.shown} cannot be started: {error.strerror}")


def _new_file(folder: Path, command: str) -> tuple[Path, BinaryIO]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{_file_name(command)}-{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns()}.log"
    return path, path.open("xb")


def _file_name(command: str) -> str:
    return re.sub(r"[^\w.-]", "_", Path(command).name)[:40] or "command"
