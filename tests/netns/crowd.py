"""Several commands under `procroute run` at once, some of which lose their engine.

with crowd(lab, [("wan1",), ("wan2", "--strict")]) as (one, two):
    kill_engine(one.process)
    one.ask("tcp", to=SERVER[4])
    hang_up(one.process)
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile

from procroute.lab import Lab
from procroute.lab.commands import Process
from tests.netns.inhabitants import PROBE, Command
from tests.netns.running import ENVIRONMENT, run_by


@contextmanager
def crowd(lab: Lab, runs: Sequence[tuple[str, ...]], before: Sequence[str] = ()) -> Iterator[list[Command]]:
    """A routed probe for each of `runs` (adapter, options…), all started at the same time.

    before: words that run `procroute`. Those that were not hung up end with the block, and must end well.
    """
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        commands = []
        for adapter, *options in runs:
            errors = stack.enter_context(TemporaryFile("w+"))
            words = [*before, *run_by(adapter, *options), *PROBE]
            process = lab.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=errors)
            commands.append(Command(lab, process, errors))
        for command in commands:
            command.begin()
        yield commands
        left = [command for command in commands if not command.process.stdin.closed]  # type: ignore[union-attr]
        assert not any(command.end() for command in left)


def kill_engine(process: Process) -> None:
    """SIGKILL for the engine of a run; what it started lives on."""
    os.kill(process.command_pid(), signal.SIGKILL)
    process.wait(10)


def hang_up(process: Process) -> None:
    """Have a command end whose engine was killed, by end of file."""
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    process.stdout.close()
