"""What is held, and of which files: execs of them, or opens by some programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from procroute.core.hold_rules import HoldRules
from procroute.kernel.exec_files import ExecFiles
from procroute.kernel.exec_hold import ExecHold


class Gate:
    """opens: whether opens are held, and not execs. Raises OSError where the kernel has no such hold."""

    def __init__(self, *, opens: bool) -> None:
        self.opens: Final = opens
        self.hold: Final = ExecHold(opens=opens)
        self.files: Final = ExecFiles(self.hold)

    def follow(self, rules: HoldRules) -> None:
        """Hold what these rules want held; `work` does it."""
        self.files.follow(rules.paths(opens=self.opens))


class Gates:
    """Both."""

    def __init__(self) -> None:
        self._gates: Final = (Gate(opens=False), Gate(opens=True))

    def __iter__(self) -> Iterator[Gate]:
        return iter(self._gates)

    def __len__(self) -> int:
        """Of how many files."""
        return sum(len(gate.files) for gate in self._gates)

    @property
    def faults(self) -> dict[str, str]:
        """Path -> why what is to be held of it is not, or not all."""
        return {path: why for gate in self._gates for path, why in gate.files.faults.items()}

    def work(self) -> bool:
        """See ExecFiles.work."""
        return any(gate.files.work() for gate in self._gates)
