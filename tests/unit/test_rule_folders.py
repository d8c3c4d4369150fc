"""Which rule files there are, in which order, and who could have written them."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from procroute.rulebook import folders
from procroute.rulebook.route_rule import Rulebook
from procroute.written.files import LARGEST

RULE = '[[rule]]\nname = "{}"\ndirect = true\n'


class Folders:
    """Folders of rules like those of a machine. us: the uid that counts as root there."""

    def __init__(self, top: Path) -> None:
        self.etc, self.run = top / "etc" / "rules.d", top / "run" / "rules.d"
        self.us = os.geteuid()
        for folder in (self.etc, self.run):
            folder.mkdir(parents=True)

    def write(self, path: Path, text: str | bytes | None = None) -> Path:
        """A file that holds one rule of its own name, or this text."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = RULE.format(path.stem) if text is None else text
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(0o644)
        return path

    def load(self) -> Rulebook:
        """All of them."""
        return folders.load((self.etc, self.run), self.us)

    def names(self) -> list[str]:
        """The names that the rules are for, in their order; nothing may be wrong."""
        book = self.load()
        assert not book.findings
        return [rule.conditions.name[0] for rule in book.rules]


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Folders]:
    mask = os.umask(0o022)
    yield Folders(tmp_path)
    os.umask(mask)


def test_no_folder_means_no_rules(tmp_path: Path) -> None:
    assert folders.load((tmp_path / "a", tmp_path / "b"), os.geteuid()) == Rulebook()


@pytest.mark.promise("RULE-03")
def test_files_are_sorted_by_number_then_name(there: Folders) -> None:
    for name in ("10-x", "5-x", "05-a", "100-x", "other", "10-a", "Other", "9"):
        there.write(there.etc / f"{name}.toml")
    assert there.names() == ["05-a", "5-x", "9", "10-a", "10-x", "100-x", "Other", "other"]


@pytest.mark.promise("RULE-03")
def test_etc_and_run_are_one_list_and_etc_shadows(there: Folders) -> None:
    there.write(there.etc / "10-a.toml")
    there.write(there.run / "5-b.toml")
    there.write(there.run / "10-a.toml", RULE.format("shadowed"))
    assert there.names() == ["5-b", "10-a"]
    there.write(there.etc / "5-b.toml", "")
    assert there.names() == ["10-a"]
    (there.etc / "5-b.toml").unlink()
    (there.etc / "5-b.toml").symlink_to("/dev/null")
    assert there.names() == ["10-a"]


@pytest.mark.promise("RULE-03")
def test_users_come_after_and_shadow_none_but_their_own(there: Folders) -> None:
    there.write(there.etc / "50-a.toml")
    there.write(there.run / "60-b.toml")
    there.write(there.etc / "users" / "1001" / "1-x.toml")
    there.write(there.etc / "users" / "999" / "50-a.toml", RULE.format("of 999"))
    there.write(there.run / "users" / "999" / "50-a.toml", RULE.format("shadowed"))
    there.write(there.run / "users" / "999" / "10-y.toml")
    assert there.names() == ["50-a", "60-b", "10-y", "of 999", "1-x"]
    assert [rule.owner for rule in there.load().rules] == [0, 0, 999, 999, 1001]


@pytest.mark.promise("RULE-03")
@pytest.mark.parametrize("name", ["0", "-1", "01", "ada", "99999999999", "１"])
def test_users_are_named_by_uid(there: Folders, name: str) -> None:
    """Another name is told, and stops nobody."""
    there.write(there.etc / "users" / name / "1.toml")
    assert there.load().rules == ()
    (found,) = there.load().findings
    assert (found.file, found.error) == (str(there.etc / "users" / name), False)
    assert "users/UID" in found.hint


@pytest.mark.promise("RULE-03")
def test_only_names_that_end_in_toml_are_read(there: Folders) -> None:
    for name in ("README", "a.toml~", "a.toml.bak", ".a.toml", "a.json"):
        there.write(there.etc / name, "nonsense")
    (there.etc / "folder").mkdir()
    assert there.names() == []


@pytest.mark.promise("RULE-03")
def test_a_mistake_in_an_admins_file_is_an_error_and_in_a_users_leaves_out_his_alone(there: Folders) -> None:
    there.write(there.etc / "1.toml")
    there.write(there.etc / "users" / "999" / "1.toml")
    there.write(there.etc / "users" / "999" / "2.toml", "[[rul]]")
    there.write(there.etc / "users" / "1000" / "3.toml")
    book = there.load()
    assert [rule.conditions.name[0] for rule in book.rules] == ["1", "3"]
    assert not book.errors
    (finding,) = book.findings
    assert "uid 999 are left out" in finding.message
    bad = there.write(there.etc / "2.toml", "\n[[rul]]")
    (error,) = there.load().errors
    assert error.place == f"{bad}:2"


def _mode(mode: int) -> Callable[[Path], object]:
    return lambda path: path.chmod(mode)


@pytest.mark.promise("RULE-04")
@pytest.mark.parametrize(
    ("what", "mode"),
    [
        (".", 0o775),
        (".", 0o757),
        (".", 0o1777),
        ("1.toml", 0o664),
        ("1.toml", 0o646),
        ("..", 0o775),
        ("..", 0o757),
    ],
)
def test_what_others_can_write_is_refused(there: Folders, what: str, mode: int) -> None:
    there.write(there.etc / "1.toml")
    assert there.names() == ["1"]
    (there.etc / what).chmod(mode)
    book = there.load()
    assert not book.rules
    assert book.errors
    assert "can be written by others than root" in book.errors[0].message
    assert f"mode {mode:04o}" in book.errors[0].message
    assert "chmod go-w" in book.errors[0].hint


@pytest.mark.promise("RULE-04")
def test_on_the_way_a_folder_with_the_sticky_bit_will_do(there: Folders) -> None:
    there.write(there.etc / "1.toml")
    there.etc.parent.chmod(0o1777)
    assert there.names() == ["1"]


@pytest.mark.promise("RULE-04")
@pytest.mark.parametrize("what", [".", "1.toml", "..", "users", "users/999", "users/999/2.toml"])
def test_what_belongs_to_others_is_refused(there: Folders, what: str) -> None:
    there.write(there.etc / "1.toml")
    there.write(there.etc / "users" / "999" / "2.toml")
    if os.geteuid() != 0:
        pytest.fail("needs root, as make test has it")
    os.chown(there.etc / what, 999, 999)
    book = there.load()
    assert any("belongs to uid 999, not to root" in finding.message for finding in book.findings)
    lost = "2" if what.startswith("users") else "1"
    assert lost not in [rule.conditions.name[0] for rule in book.rules]
    if what.startswith("users"):
        assert [rule.conditions.name[0] for rule in book.rules] == ["1"]


@pytest.mark.promise("RULE-04")
def test_links_are_followed_and_what_they_lead_to_is_held_to_the_same(there: Folders, tmp_path: Path) -> None:
    kept = there.write(tmp_path / "kept" / "real.toml")
    (there.etc / "1.toml").symlink_to(kept)
    (there.etc / "2.toml").symlink_to("../../kept/real.toml")
    assert there.names() == ["real", "real"]
    kept.parent.chmod(0o777)
    assert [f.message for f in there.load().errors] == [
        f"{kept.parent} can be written by others than root (mode 0777)"
    ] * 2


@pytest.mark.promise("RULE-04")
def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(
    there: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody swaps a folder between the resolving of links and the look at it."""
    there.write(there.etc / "1.toml")
    other = tmp_path / "other"
    there.write(other / "1.toml", RULE.format("evil"))
    resolve = os.path.realpath

    def resolved(path: Path, *, strict: bool) -> str:
        found = resolve(path, strict=strict)
        if str(path).endswith("1.toml"):
            there.etc.rename(tmp_path / "away")
            there.etc.symlink_to(other)
        return found

    monkeypatch.setattr("os.path.realpath", resolved)
    book = there.load()
    assert not book.rules
    assert "cannot be read" in book.errors[0].message


@pytest.mark.promise("RULE-12")
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (os.mkfifo, "is no file"),
        (lambda path: path.mkdir(), "is no file"),
        (lambda path: path.symlink_to("/dev/zero"), "can be written by others than root"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "cannot be read: No such file or directory"),
        (lambda path: path.write_bytes(b"#" * (LARGEST + 1)), "is larger than 4 MiB"),
        (lambda path: path.write_bytes(b"# a\n# \xff\n"), "not UTF-8: the byte 0xff"),
        (lambda path: path.write_bytes(b"# a\n# \x1b[1m\n"), "not TOML"),
        (lambda path: path.write_bytes(b"[[rule]]\0"), "not TOML"),
    ],
    ids=["FIFO", "folder", "device", "loop", "dangling", "huge", "no UTF-8", "escape", "NUL"],
)
def test_what_is_no_rule_file_is_said(there: Folders, make: Callable[[Path], object], what: str) -> None:
    bad = there.etc / "1.toml"
    make(bad)
    (error,) = there.load().errors
    assert error.file == str(bad)
    assert what in error.message
    assert error.message.isprintable()
    assert not folders.read_file(bad).rules


@pytest.mark.promise("RULE-12")
def test_a_file_of_the_largest_size_is_read(there: Folders) -> None:
    there.write(there.etc / "1.toml", RULE.format("x") + "#" * (LARGEST - len(RULE.format("x"))))
    assert there.names() == ["x"]


@pytest.mark.promise("RULE-12")
@pytest.mark.parametrize("target", ["loop", "nowhere"])
def test_a_folder_that_leads_nowhere_is_said(there: Folders, tmp_path: Path, target: str) -> None:
    there.etc.rmdir()
    there.etc.symlink_to(there.etc if target == "loop" else tmp_path / "nowhere")
    (error,) = there.load().errors
    assert error.file == str(there.etc)
    assert "cannot be read" in error.message


@pytest.mark.promise("RULE-12")
@pytest.mark.parametrize("what", [".", "1.toml"])
def test_what_may_not_be_read_is_said(what: str) -> None:
    """As somebody who checks all rules without root."""
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o711)
        there = Folders(Path(top))
        there.write(there.etc / "1.toml")
        hidden = there.etc / what
        hidden.chmod(0o700 if what == "." else 0o600)
        os.seteuid(65534)
        try:
            book = there.load()
        finally:
            os.seteuid(0)
    assert not book.rules
    (error,) = book.errors
    assert error.file == str(hidden)
    assert "cannot be read: Permission denied" in error.message


@pytest.mark.promise("RULE-32")
def test_whatever_could_be_read_otherwise_has_another_fingerprint(there: Folders) -> None:
    def now() -> bytes:
        return folders.fingerprint((there.etc, there.run), there.us)

    run, etc = there.run / "1.toml", there.etc / "1.toml"
    etc2, hers = there.etc / "2.toml", there.etc / "users" / "1000" / "1.toml"
    text = RULE.format("x")
    seen = [now()]
    changes: tuple[Callable[[], object], ...] = (
        lambda: there.write(run, text),
        lambda: there.write(run, text.replace("x", "y")),
        lambda: there.write(etc, text.replace("x", "y")),
        lambda: there.write(etc2, text),
        lambda: there.write(hers, text),
        lambda: hers.rename(hers.with_name("2.toml")),
        (there.etc / "users" / "ada").mkdir,
        lambda: etc.chmod(0o666),
        lambda: there.etc.chmod(0o777),
    )
    for change in changes:
        change()
        assert now() == now()
        seen.append(now())
    assert len(set(seen)) == len(seen)
    there.etc.chmod(0o755)
    assert now() == seen[-2]
    there.write(there.etc / "no rules", text)
    run.unlink()  # it was shadowed
    assert now() == seen[-2]


@pytest.mark.promise("RULE-12")
def test_a_file_in_the_place_of_a_folder_is_said(there: Folders) -> None:
    there.etc.rmdir()
    there.write(there.etc)
    (error,) = there.load().errors
    assert "cannot be read: Not a directory" in error.message


@pytest.mark.promise("RULE-12")
def test_a_name_that_is_no_text_is_read_and_shown_as_such(there: Folders) -> None:
    name = os.fsdecode(b"1-\xff\x1b[1m.toml")
    there.write(there.etc / name, "[[rul]]")
    (error,) = there.load().errors
    assert error.file == str(there.etc / name)


def test_no_descriptor_is_left_open(there: Folders) -> None:
    there.write(there.etc / "1.toml")
    there.write(there.etc / "2.toml").chmod(0o666)
    os.mkfifo(there.etc / "3.toml")
    before = len(os.listdir("/proc/self/fd"))
    there.load()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_mode_of_a_folder_is_not_only_read_from_the_temporary_one(tmp_path: Path) -> None:
    """The tests above rest on this: the folder that pytest gives is one that would be trusted."""
    for folder in tmp_path.parents:
        seen = folder.stat()
        assert seen.st_uid in {0, os.geteuid()}
        assert not seen.st_mode & 0o022 or seen.st_mode & stat.S_ISVTX
