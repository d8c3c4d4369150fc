"""The processes of the machine while somebody watches: what could not be looked at is looked at again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from procroute.core.census import Life, Living
from procroute.daemon import processes
from procroute.daemon.processes import Processes
from procroute.kernel import cgroup_mount, lives
from procroute.kernel.cgroup_mount import CgroupMount


class Kernel:
    """living: by PID; told: what is heard next, None: not all; short: no descriptor is left."""

    tells_users = True

    def __init__(self) -> None:
        self.living: dict[int, Living] = {}
        self.told: list[Life] | None = []
        self.short = False
        self.listening = 0

    def listen(self) -> Kernel:
        self.listening += 1
        return self

    def close(self) -> None:
        self.listening -= 1

    def fileno(self) -> int:
        return 0

    def read(self) -> list[Life] | None:
        told, self.told = self.told, []
        return told

    def look_at(self, pid: int) -> Living | None:
        self._need_descriptors()
        return self.living.get(pid)

    def everybody(self) -> Iterator[Living]:
        self._need_descriptors()
        return iter(list(self.living.values()))

    def _need_descriptors(self) -> None:
        if self.short:
            raise OSError(errno.EMFILE, "Too many open files")

    def starts(self, pid: int) -> None:
        self.living[pid] = Living(pid, pid, 1, (0, 0, 0), f"n{pid}", [f"n{pid}"], "/")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel()
    monkeypatch.setattr(lives, "listen", found.listen)
    monkeypatch.setattr(processes, "everybody", found.everybody)
    monkeypatch.setattr(processes, "living", found.look_at)
    monkeypatch.setattr(cgroup_mount, "find", lambda: CgroupMount(Path("/")))
    found.starts(1)
    return found


def pids(seen: Processes) -> list[int]:
    return sorted(one.running.pid for one in seen.begin({}))


def test_a_beginning_that_failed_leaves_nothing_and_can_be_had_again(kernel: Kernel) -> None:
    seen = Processes()
    kernel.short = True
    with pytest.raises(OSError, match="Too many"):
        seen.begin({})
    assert kernel.listening == 0
    kernel.short = False
    assert pids(seen) == [1]
    assert kernel.listening == 1


def test_missed_news_are_made_up_for_also_when_the_first_try_fails(kernel: Kernel) -> None:
    seen = Processes()
    assert pids(seen) == [1]
    kernel.starts(2)
    kernel.told, kernel.short = None, True
    with pytest.raises(OSError, match="Too many"):
        seen.look()
    assert seen.again() == processes.PAUSE
    kernel.short = False
    assert [now.running.pid for _, now in seen.look().now] == [2]
    assert seen.again() is None


def test_news_of_who_could_not_be_looked_at_are_kept(kernel: Kernel) -> None:
    seen = Processes()
    assert pids(seen) == [1]
    kernel.starts(2)
    kernel.told, kernel.short = [Life(2, 2)], True
    with pytest.raises(OSError, match="Too many"):
        seen.look()
    assert seen.again() == processes.PAUSE
    kernel.short = False
    assert [now.running.pid for _, now in seen.look().now] == [2]
