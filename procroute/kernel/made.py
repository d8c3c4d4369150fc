"""In which cgroups on a route internet sockets were made, as the programs there note (bpf/mark.bpf.c)."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from procroute.kernel.bpf.copies import find, maps_of


class Made:
    """To be asked also when the target is gone, which takes its programs along. Close it.

    target: its cgroup. Raises OSError, and ProcrouteError as copies.find.
    """

    def __init__(self, target: Path) -> None:
        with ExitStack() as stack:
            directory = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, directory)
            with ExitStack() as stay:
                copies = [copy for copy in find(directory) if "made" in copy.maps]
                self._maps = [stay.enter_context(maps_of(copy))("made") for copy in copies]
                self._stay = stay.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ask no more."""
        self._stay.close()

    def ids(self) -> frozenset[int] | None:
        """The ids of those in which one was made, or tried to: the latest thousand. None: nobody notes it."""
        if not self._maps:
            return None
        return frozenset(int.from_bytes(key, sys.byteorder) for each in self._maps for key in each.items())
