"""The file with our tables' names, and the directories it lies in: ours go, other people's stay."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from procroute.kernel import table_names

NAMES = {7301: "procroute-wan1", 7402: "procroute-wan2"}


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    return tmp_path / "etc"


@pytest.fixture
def file(etc: Path) -> Path:
    etc.mkdir()
    return etc / "iproute2" / "rt_tables.d" / "procroute.conf"


def below(etc: Path) -> list[str]:
    return sorted(str(path.relative_to(etc)) for path in etc.rglob("*"))


@pytest.mark.promise("CLEAN-01", "CLEAN-02")
@pytest.mark.parametrize("there", ["", "iproute2", "iproute2/rt_tables.d"])
def test_what_is_missing_is_made_and_removed_again(etc: Path, file: Path, there: str) -> None:
    (etc / there).mkdir(parents=True, exist_ok=True)
    before = below(etc)
    assert table_names.read(file) == {}
    table_names.write(NAMES, file)
    assert table_names.read(file) == NAMES
    table_names.write({7301: "procroute-wan1"}, file)
    assert table_names.read(file) == {7301: "procroute-wan1"}
    table_names.write({}, file)
    assert table_names.read(file) == {}
    assert below(etc) == before


@pytest.mark.promise("KILL-02", "CLEAN-03")
@pytest.mark.parametrize("left", [1, 2], ids=["one directory", "both"])
def test_directories_without_the_file_are_noticed_and_removed(etc: Path, file: Path, left: int) -> None:
    """As after a kill between two steps, or when somebody removed the file."""
    table_names.write(NAMES, file)
    file.unlink()
    if left == 1:
        file.parent.rmdir()
    assert table_names.read(file) != {}
    table_names.write({}, file)
    assert table_names.read(file) == {}
    assert below(etc) == []


@pytest.mark.promise("CLEAN-02")
@pytest.mark.parametrize("theirs", ["iproute2/rt_tables.d/theirs.conf", "iproute2/rt_protos"])
def test_what_others_put_into_our_directories_stays(etc: Path, file: Path, theirs: str) -> None:
    table_names.write(NAMES, file)
    (etc / theirs).write_text("7999 theirs\n")
    table_names.write({}, file)
    assert table_names.read(file) == {}
    assert (etc / theirs).read_text() == "7999 theirs\n"


def test_a_file_that_was_not_finished_is_noticed(file: Path) -> None:
    table_names.write(NAMES, file)
    file.write_text("# writ")
    assert table_names.read(file) != {}


def test_where_nothing_can_be_written_nothing_happens(etc: Path, file: Path) -> None:
    (etc / "iproute2").write_text("a file")
    for names in (NAMES, {}):
        with pytest.raises(OSError, match="ot a directory"):
            table_names.write(names, file)
        assert not table_names.possible(file)
    assert below(etc) == ["iproute2"]


def test_what_could_not_be_written_is_tried_again_after_a_change(
    etc: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", _full)
        with pytest.raises(OSError, match="No space"):
            table_names.write(NAMES, file)
    assert below(etc) == []
    assert not table_names.possible(file)
    file.parent.mkdir(parents=True)
    file.write_text("# written by procroute while routes are in use\n7301\tprocroute-wan2\n")
    assert table_names.possible(file)
    table_names.write(NAMES, file)
    assert table_names.read(file) == NAMES


def _full(file: Path, _: str) -> int:
    file.touch()
    raise OSError(errno.ENOSPC, "No space left on device")
