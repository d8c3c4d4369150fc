"""A routed command that asks without a pause while other things happen, and how that went."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from tests.netns.running import ENVIRONMENT, run_by
from tests.netns.traffic import SERVER

_PROGRAM: Final = [sys.executable, "-S", str(Path(__file__).with_name("steady.py"))]


class Steady:
    """steady.py under `procroute run --via ADAPTER`, asking already. `end` it, or the block does."""

    def __init__(self, lab: Lab, adapter: str, *options: str) -> None:
        words = [*run_by(adapter, *options), *_PROGRAM, *SERVER.values()]
        pipe = subprocess.PIPE
        self.process: Process = lab.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe)
        assert self.process.stdout
        assert self.process.stdout.readline() == "asking\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.end()

    def end(self) -> dict[str, int]:
        """Answers by router and errors by name."""
        said, _ = self.process.communicate(timeout=20 * FACTOR)
        assert self.process.returncode == 0
        heard: dict[str, int] = json.loads(said)
        return heard
