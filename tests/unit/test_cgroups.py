"""What is asked of cgroups, on directories that look like them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, unit_cgroups


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """One without processes."""
    (tmp_path / "cgroup.events").write_text("populated 0\n")
    return tmp_path


@pytest.mark.promise("KILL-03", "CLI-13")
def test_a_target_is_in_use_while_somebody_attends_to_it(target: Path) -> None:
    assert not cgroups.in_use(target)
    one, another = cgroups.attend(target), cgroups.attend(target)
    assert cgroups.in_use(target)
    os.close(one)
    assert cgroups.in_use(target)
    os.close(another)
    assert not cgroups.in_use(target)


@pytest.mark.promise("CLI-13")
def test_a_forked_engine_attends_on(target: Path) -> None:
    """As the copy in the background does."""
    attending = cgroups.attend(target)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(attending)
    assert cgroups.in_use(target)
    os.close(writing)
    os.waitpid(pid, 0)
    os.close(reading)
    assert not cgroups.in_use(target)


@pytest.mark.promise("CLI-13")
def test_who_asks_disturbs_nobody_who_asks(target: Path) -> None:
    def wrong() -> int:
        until = time.monotonic() + 0.3
        found = 0
        while time.monotonic() < until:
            found += cgroups.in_use(target)
        return found

    pid = os.fork()
    if pid == 0:
        os._exit(min(wrong(), 1))
    assert wrong() == 0
    assert os.waitpid(pid, 0)[1] == 0


def test_a_target_that_is_gone_is_not_in_use(tmp_path: Path) -> None:
    assert not cgroups.in_use(tmp_path / "gone")


@pytest.mark.promise("ERR-08")
def test_what_is_no_cgroup_is_not_entered(tmp_path: Path) -> None:
    with pytest.raises(ProcrouteError, match="refused to move a process"):
        cgroups.enter(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.promise("EXPLAIN-04")
@pytest.mark.parametrize(
    ("given", "there"),
    [
        ("backup", "backup.service"),
        ("org.example.app", "org.example.app.service"),
        ("app.slice", "app.slice"),
        ("run-u5.scope", "run-u5.scope"),
    ],
)
def test_a_unit_is_found_by_the_name_that_systemctl_takes(tmp_path: Path, given: str, there: str) -> None:
    (tmp_path / "some.slice" / there).mkdir(parents=True)
    assert unit_cgroups.of_unit(tmp_path, given) == tmp_path / "some.slice" / there
    with pytest.raises(ProcrouteError) as refused:
        unit_cgroups.of_unit(tmp_path, "org.other.app")
    assert "no unit org.other.app.service has a cgroup" in refused.value.message
