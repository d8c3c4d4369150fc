"""News of files: whatever way a file changes, and wherever links lead; and of nothing else."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from procroute.kernel import inotify
from procroute.kernel.libc import call
from procroute.kernel.watch import Watch


@contextmanager
def watched(*files: Path) -> Iterator[Callable[[], bool]]:
    """What says whether there are news of these files, and takes them in."""
    with closing(Watch(files)) as watch:

        def news() -> bool:
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            return bool(poll.poll(0)) and watch.drain()

        yield news


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "etc" / "resolv.conf"
    found.parent.mkdir()
    found.write_text("old")
    return found


def replace(file: Path) -> None:
    """Rename another to its place."""
    new = file.with_name("new")
    new.write_text("new")
    new.rename(file)


def test_a_file_is_written_replaced_removed_and_there_again(file: Path) -> None:
    with watched(file) as news:
        assert not news()
        for _ in range(2):
            for change in (file.touch, lambda: file.write_text("x"), lambda: replace(file), file.unlink):
                change()
                assert news() is (change != file.touch or not file.exists())
                assert not news()
            file.write_text("again")
            assert news()


def test_other_files_are_no_news(file: Path) -> None:
    with watched(file) as news:
        other = file.with_name("hosts")
        other.write_text("x")
        other.unlink()
        file.read_text()
        assert not news()


def test_whatever_happens_in_a_folder_is_news(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "leases"
    with closing(Watch([], [folder])) as watch:
        assert not watch.drain()
        lease = folder / "2"
        for _ in range(2):
            folder.mkdir(parents=True)
            assert watch.drain()
            for change in (
                lambda: lease.write_text("x"),
                lambda: lease.chmod(0o666),
                lambda: folder.chmod(0o777),
                lambda: replace(lease),
                lease.unlink,
            ):
                change()
                assert watch.drain()
                assert not watch.drain()
            folder.rmdir()
            folder.parent.rmdir()
            assert watch.drain()


@pytest.mark.parametrize("relative", [True, False])
def test_links_are_followed(file: Path, tmp_path: Path, relative: bool) -> None:
    run = tmp_path / "run" / "resolver"
    run.mkdir(parents=True)
    first, second = run / "stub", run / "real"
    first.write_text("x")
    file.unlink()
    file.symlink_to("../run/resolver/stub" if relative else first)
    with watched(file) as news:
        second.write_text("y")
        assert not news()
        replace(first)
        assert news()
        first.write_text("in its place")
        assert news()
        new = file.with_name("new")
        new.symlink_to(second)
        new.rename(file)
        assert news()
        replace(first)
        assert not news()
        replace(second)
        assert news()


def test_a_directory_may_come_and_go(tmp_path: Path) -> None:
    file = tmp_path / "run" / "resolver" / "resolv.conf"
    with watched(file) as news:
        for _ in range(2):
            file.parent.mkdir(parents=True)
            assert news()
            file.write_text("x")
            assert news()
            file.unlink()
            file.parent.rmdir()
            file.parent.parent.rmdir()
            assert news()
            assert not news()


def test_links_in_a_circle_are_no_file(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)
    with watched(file) as news:
        assert not news()
        file.unlink()
        assert news()


def test_lost_news_are_news(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Watch([file])) as watch:
        monkeypatch.setattr(inotify.Inotify, "read", lambda _: iter([(-1, inotify.OVERFLOW, "")]))
        assert watch.drain()


def test_a_refusal_is_an_error_that_names_the_call() -> None:
    with pytest.raises(OSError, match="inotify_rm_watch"):
        call("inotify_rm_watch", -1, 1)
