"""What a world of the soak stands on: a lab, a daemon that comes and goes, a look from outside."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from types import TracebackType
from typing import Any, Final, Literal, Self

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from procroute.lab.snapshot import changes, snapshot
from procroute.lab.topology import VPN
from tests.netns.daemons import Daemon, as_user, daemon, for_users
from tests.netns.running import ENVIRONMENT, PROCROUTE
from tests.netns.traffic import FAMILIES, gateway
from tests.soak.phases import Phases
from tests.soak.tally import Tally

WANS: Final = ("wan1", "wan2")


class Setting:
    """A context manager; everything ends with the block.

    stale: whether something happened while no daemon lived.
    """

    def __init__(self, tally: Tally, rp_filter: Literal[0, 1, 2] = 0) -> None:
        self.tally = tally
        self.rp_filter: Literal[0, 1, 2] = rp_filter
        self.daemon: Daemon | None = None
        self.stale = False
        self.phases = Phases()
        self._stack = contextlib.ExitStack()
        self._of_daemon = contextlib.ExitStack()
        self._of_users = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.lab = stack.enter_context(Lab(main="both", rp_filter=self.rp_filter))
            for wan in WANS:
                self.lab.uplinks[wan].restore()
            vpn = self.lab.add(VPN)
            for family in FAMILIES:
                self.lab.ip(f"-{family} route add default via {gateway(vpn, family)} dev vpn0 metric 300")
            self._before = snapshot(self.lab)
            self._python = self._of_users.enter_context(for_users(self.lab))
            stack.push(self._of_users)
            self._looker = self._looking()
            stack.callback(self._look_no_more)
            self._looker_says()
            stack.push(self._end_daemon)
            self.start_daemon()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tally.packets += self.phases.packets
        self._stack.__exit__(kind, error, trace)

    def _end_daemon(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.daemon is not None and self.daemon.process.poll() is None:
                self.freeze(False)
                self.daemon.kill()
        self._of_daemon.close()

    # --- what happens to the daemon

    def start_daemon(self) -> None:
        """It takes over what is there."""
        self.daemon = self._of_daemon.enter_context(daemon(self.lab))
        self.stale = False

    def kill_daemon(self) -> None:
        """As a crash does."""
        assert self.daemon
        self.daemon.kill()
        self._of_daemon.close()
        self.daemon = None

    def stop_daemon(self) -> None:
        """In order."""
        assert self.daemon
        self._of_daemon.close()
        self.daemon = None

    def freeze(self, on: bool = True) -> None:
        """It does nothing, while it is so."""
        assert self.daemon
        for pid in (self.daemon.process.command_pid(), *([] if on else [self.daemon.process.pid])):
            os.kill(pid, signal.SIGSTOP if on else signal.SIGCONT)  # nsenter(1) stops with its child

    def log(self) -> str:
        """The daemon's, to its end."""
        return f"\n--- the daemon's log\n{self.daemon.log()}" if self.daemon else "\n--- no daemon"

    def procroute(self, *words: str, by: int = 0) -> None:
        """As a user; it must end well."""
        done = self.lab.run([*as_user(by), *PROCROUTE, *words], env=ENVIRONMENT)
        assert done.returncode == 0, f"procroute {' '.join(words)}: {done.stderr}{self.log()}"

    # --- looking from outside

    def ask_looker(self, how: str, **request: Any) -> dict[str, Any]:
        """See looking.py."""
        process = self._looker
        assert process.stdin
        process.stdin.write(json.dumps({"how": how, **request}) + "\n")
        process.stdin.flush()
        return self._looker_says()

    def _looking(self) -> Process:
        pipe = subprocess.PIPE
        words = [sys.executable, "-m", "tests.soak.looking"]
        return self.lab.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe)

    def _looker_says(self) -> dict[str, Any]:
        process = self._looker
        assert process.stdout
        ready, _, _ = select.select([process.stdout], [], [], 90 * FACTOR)
        line = process.stdout.readline() if ready else ""
        assert line, "the looker does not answer"
        return dict(json.loads(line))

    def _look_no_more(self) -> None:
        hang_up(self._looker)
        self._looker.wait(20)

    def different(self) -> dict[str, tuple[str, str]]:
        """From how it began, but for the order of what is the same."""
        found = changes(self._before, snapshot(self.lab))
        return {name: lines for name, lines in found.items() if any(lines)}


def hang_up(process: Process) -> None:
    """Its pipes are closed, whether it lives or not."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
