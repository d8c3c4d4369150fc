"""What is seen of a process at a glimpse is what a whole look sees of it, as far as rules ask for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procroute.kernel import rule_subject
from procroute.kernel.cgroup_mount import CgroupMount
from procroute.kernel.rule_glimpse import Glimpses
from procroute.kernel.rule_subject import subject
from procroute.rulebook.matching import values
from procroute.rulebook.subject import Subject

_KEYS = ("exe", "name", "command", "user", "group", "cgroup", "unit", "app", "parent")
_MOUNT = CgroupMount(Path("/sys/fs/cgroup"))


@pytest.fixture(params=["short", "a-name-of-more-than-fifteen-bytes"])
def process(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[subprocess.Popen[bytes]]:
    """A program with a name that is cut by the kernel, or not; it has begun."""
    mounts = frozenset({os.readlink("/proc/self/ns/mnt")})
    monkeypatch.setattr(rule_subject, "_mounts", lambda: mounts)
    program = tmp_path / request.param
    program.symlink_to(sys.executable)
    words = [program, "-S", "-c", "print(flush=True); input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as made:
        assert made.stdout
        made.stdout.readline()
        yield made
        made.kill()


@pytest.mark.parametrize("key", _KEYS)
def test_what_rules_ask_for_is_seen(process: subprocess.Popen[bytes], key: str) -> None:
    whole = subject(process.pid, _KEYS, _MOUNT)
    seen = Glimpses([key], _MOUNT, owned=False).of(process.pid)
    assert whole is not None
    assert seen is not None
    assert values(key, seen) == values(key, whole[0])
    assert values(key, seen) or key in ("unit", "app")


def test_nothing_else_is_looked_for(process: subprocess.Popen[bytes]) -> None:
    assert Glimpses([], _MOUNT, owned=False).of(process.pid) == Subject(pid=process.pid)
    seen = Glimpses([], _MOUNT, owned=True).of(process.pid)
    assert seen is not None
    assert seen.uids == os.getresuid()
    process.kill()
    process.wait(10)
    assert Glimpses(["command"], _MOUNT, owned=False).of(process.pid) is None
