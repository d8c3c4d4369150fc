"""What the daemon's health checks have found, on disk: for engines, for who looks, for its next start.

It holds while the daemon that wrote it lives, and in its network namespace. EFFECTS.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from procroute.core.health import AdapterFound
from procroute.kernel import files, netns
from procroute.kernel.process_stat import began
from procroute.places import HEALTH

FILE: Final = Path(HEALTH)


class _Written(Struct, frozen=True):
    """pid, began: of the daemon. namespace: of the network."""

    pid: int
    began: int
    namespace: int
    adapters: tuple[AdapterFound, ...]


_WRITTEN: Final = msgspec.json.Decoder(_Written)


def write(found: Sequence[AdapterFound]) -> None:
    """Write it down for everybody, as of this process; nothing: there is no file. Raises OSError."""
    if not found:
        files.unlink(FILE, missing_ok=True)
        return
    pid = os.getpid()
    content = _Written(pid, began(pid)[0], netns.namespace(), tuple(found))
    files.replace(FILE, msgspec.json.encode(content), 0o644)


def read(*, of_the_dead: bool = False) -> tuple[AdapterFound, ...]:
    """What was found of this namespace's adapters. of_the_dead: also where the daemon has ended since."""
    try:
        content = _WRITTEN.decode(FILE.read_bytes())
    except (OSError, msgspec.DecodeError):
        return ()  # nobody checks, or it is damaged: then nothing is known
    if content.namespace != netns.namespace():
        return ()
    return content.adapters if of_the_dead or _lives(content) else ()


def ailing() -> frozenset[int]:
    """The ifindexes of adapters that were found dead."""
    return frozenset(a.ifindex for a in read() if a.state == "down")


def _lives(content: _Written) -> bool:
    try:
        since, ended = began(content.pid)
    except OSError:
        return False
    return since == content.began and not ended
