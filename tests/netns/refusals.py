"""What is not right about a refusal."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from procroute.lab import Lab
from tests.netns.running import procroute, unchanged


@dataclass(frozen=True, slots=True)
class Wrong:
    """Options of `run`, what the machine is made like, and what must be said. hint: part of the last line."""

    says: str
    hint: str
    options: tuple[str, ...] = ("--via", "wan1")
    make: Callable[[Lab], object] = lambda _: None
    status: int = 125


def refused(done: subprocess.CompletedProcess[str], wrong: Wrong) -> list[str]:
    """Everything that is not as an error should be. Notes may come before it, a line each."""
    every = done.stderr.splitlines()
    notes, lines = (every[: -1 - bool(wrong.hint)], every[-1 - bool(wrong.hint) :])
    found = []
    if done.returncode != wrong.status:
        found.append(f"status {done.returncode}")
    if done.stdout:
        found.append(f"on stdout: {done.stdout}")
    if not lines or not all(note.startswith("procroute: ") for note in notes):
        found.append(f"on stderr: {done.stderr}")
    elif not lines[0].startswith(f"procroute: {wrong.says}"):
        found.append(f"it says: {lines[0]}")
    elif wrong.hint and not (lines[1].startswith("  hint: ") and wrong.hint in lines[1]):
        found.append(f"it hints: {lines[1]}")
    return found


def in_vain(lab: Lab, wrong: Wrong) -> list[str]:
    """What is not right about the refusal; the machine must be as before."""
    wrong.make(lab)
    with unchanged(lab):
        done = procroute(lab, "run", *wrong.options, "--", "sh", "-c", "echo it ran")
    return refused(done, wrong)
