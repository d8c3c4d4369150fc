"""Say so where CMD seems to have handed its work to a process that runs already (core/single.py)."""

from __future__ import annotations

import os
import time
from pathlib import Path

from procroute.core.single import advice, alike, handed_over
from procroute.engine.execute import found
from procroute.engine.request import Request
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, executed
from procroute.kernel.made import Made
from procroute.kernel.pinned import Known, identify


class Handing:
    """To be made before CMD starts. uid: whose CMD will be."""

    def __init__(self, request: Request, uid: int) -> None:
        self._request = request
        self._uid = uid
        self._began = time.monotonic()

    def look(self, status: int, assignment: Path, ids: frozenset[int], tell: Tell) -> None:
        """Tell, if it seems so. To be asked when nothing of CMD runs any more and its target is still there.

        ids: those of the assignment's cgroups, which may have gone.
        """
        seconds = time.monotonic() - self._began
        if not handed_over(status, seconds, made_sockets=False):
            return
        if not handed_over(status, seconds, made_sockets=_made(assignment, ids)):
            return
        ourselves = identify(os.getpid())
        pid = older(self._request.command[0], self._uid, ourselves) if ourselves else None
        if pid is not None:
            for line in advice(describe(pid), pid, self._request.adapter, strict=self._request.strict):
                tell(line)


def older(word: str, uid: int, than: Known) -> int | None:
    """The oldest process of a user that is the program of this word, and older than that process."""
    file = found(word, os.environ)
    command = executed.by_file(file) if file else None
    if command is None:
        return None
    for pid in executed.earlier(uid, than.began):
        other = executed.by_process(pid)
        if other is not None and alike(command, other):
            return pid
    return None


def _made(assignment: Path, ids: frozenset[int]) -> bool | None:
    try:
        with Made(assignment.parent) as noted:
            made = noted.ids()
    except (ProcrouteError, OSError):
        return None
    return None if made is None else bool(made & (ids | cgroups.ids(assignment)))
