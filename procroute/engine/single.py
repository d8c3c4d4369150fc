"""Say so where CMD seems to have handed its work to a process that runs already (core/single.py)."""

from __future__ import annotations

import os
import time
from pathlib import Path

from procroute.core.single import alike, handed_over
from procroute.engine.execute import found
from procroute.engine.request import Request
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, executed, programs
from procroute.kernel.pinned import identify


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
        pid = self._first()
        if pid is not None:
            strict = "--strict " if self._request.strict else ""
            tell(
                f"CMD has ended and made no connection: {describe(pid)}, which ran before, may do its work,"
                " on its own route"
            )
            tell(f"hint: procroute assign --via {self._request.adapter} {strict}{pid} puts that on the route")

    def _first(self) -> int | None:
        """The oldest process that is the same program as CMD, and older than we are."""
        file = found(self._request.command[0], os.environ)
        command = executed.by_file(file) if file else None
        ourselves = identify(os.getpid())
        if command is None or ourselves is None:
            return None
        for pid in executed.earlier(self._uid, ourselves.began):
            other = executed.by_process(pid)
            if other is not None and alike(command, other):
                return pid
        return None


def _made(assignment: Path, ids: frozenset[int]) -> bool | None:
    try:
        made = programs.made_sockets(str(assignment.parent))
    except ProcrouteError:
        return None
    return None if made is None else bool(made & (ids | cgroups.ids(assignment)))
