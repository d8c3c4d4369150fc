"""One writer at a time, also where the lock's folder comes and goes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from procroute.engine import lock as locking
from procroute.errors import ProcrouteError

pytestmark = pytest.mark.promise("CLI-13", "CLI-14")


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(locking, "RUN_DIRECTORY", str(tmp_path / "run"))
    return tmp_path / "run"


def test_the_folder_goes_with_the_last(directory: Path) -> None:
    with locking.lock():
        assert directory.is_dir()
        locking.release_directory()
    assert not directory.exists()


def test_it_stays_while_something_is_kept_there(directory: Path) -> None:
    with locking.lock():
        (directory / "src_valid_mark" / "4711").mkdir(parents=True)
        locking.release_directory()
    assert (directory / "lock").exists()


def test_a_folder_that_is_lost_meanwhile_is_no_error(directory: Path) -> None:
    with locking.lock():
        (directory / "lock").unlink()
        directory.rmdir()
        locking.release_directory()


def test_a_folder_that_goes_while_it_is_asked_for_is_made_anew(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    mkdir: Callable[..., None] = os.mkdir

    def too_late(path: str, *rest: int) -> None:
        """It is there when it is to be made, and gone right after."""
        made.append(path)
        if len(made) == 1:
            raise FileExistsError(path)
        mkdir(path, *rest)

    monkeypatch.setattr(os, "mkdir", too_late)
    with locking.lock():
        assert directory.is_dir()
    assert len(made) == 2


def test_a_lock_that_is_made_anew_before_its_folder_goes_keeps_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def and_make_another(path: Path) -> None:
        unlink(path)
        path.touch()

    with locking.lock():
        monkeypatch.setattr(Path, "unlink", and_make_another)
        locking.release_directory()
    assert (directory / "lock").exists()


def test_what_is_no_folder_is_said(directory: Path) -> None:
    directory.touch()
    with pytest.raises(ProcrouteError) as caught, locking.lock():
        pass
    assert caught.value.code == "run-directory"


def test_many_at_once(directory: Path) -> None:
    """Nobody fails, and never are two of them inside."""
    inside = directory.with_name("inside")

    def work() -> None:
        for _ in range(60):
            with locking.lock():
                inside.mkdir()
                inside.rmdir()
                locking.release_directory()

    children = []
    for _ in range(6):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work()
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 6
    assert not directory.exists()


def test_who_waits_long_is_told_once_for_what(directory: Path) -> None:
    said: list[str] = []
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if sum(waited) > 10:
            raise TimeoutError

    with locking.lock(), pytest.raises(TimeoutError), locking.lock(locking.patient(said.append, sleep)):
        pass
    assert said == [f"waiting for another procroute, which holds {directory}/lock"]


def test_a_short_wait_is_not_told(directory: Path) -> None:
    said: list[str] = []
    pause = locking.patient(said.append, lambda seconds: None)
    for _ in range(10):
        pause(0.1)
    assert not said


def test_a_thread_that_waits_has_its_turn(directory: Path) -> None:
    """However soon the one that has it comes again."""
    held, waited = threading.Event(), threading.Event()
    times = 0

    def wait() -> None:
        held.wait()
        with locking.lock(lambda seconds: time.sleep(min(seconds, 0.001))):
            waited.set()

    thread = threading.Thread(target=wait)
    thread.start()
    while not waited.is_set() and times < 100:
        with locking.lock():
            held.set()
            time.sleep(0.01)
        times += 1
    thread.join()
    assert times <= 3


def test_who_does_not_wait_is_told_so_in_its_turn_too(directory: Path) -> None:
    with locking.lock():
        over = threading.Event()

        def pause(seconds: float) -> None:
            if over.wait(seconds):
                raise locking.BusyError

        def wait() -> None:
            with contextlib.suppress(locking.BusyError), locking.lock(pause):
                pass

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.02)
        with pytest.raises(locking.BusyError), locking.lock(locking.at_once):
            pass
        over.set()
        thread.join()
