"""Whose file a rule is written to, what is refused, and that nothing else changes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from procroute.core.access import Peer
from procroute.daemon import rule_files
from procroute.errors import ProcrouteError
from procroute.kernel import faults
from procroute.model import Allowed
from procroute.protocol import AddRule, EditRule
from procroute.rulebook import folders, trusted
from procroute.rulebook.route_rule import RouteRule
from procroute.rulebook.shape import WrittenRule

pytestmark = pytest.mark.promise("RULE-20", "RULE-26")
ROOT, ADA, BOB = Peer(0, 1, "root"), Peer(1000, 2, "ada"), Peer(1001, 3, "bob")
CURL = WrittenRule(exe="/usr/bin/curl", via="wan1")
WHOLE = '# mine\n[[rule]]\nname = "a" # odd\nvia = "wan1"\n\n[[rule]]\nname = "b"\nvia = "wan1"\n'


class Files:
    """Both folders of rules, of a machine on which we are root."""

    def __init__(self, top: Path) -> None:
        self.etc, self.run = top / "etc" / "rules.d", top / "run" / "rules.d"
        self.etc.mkdir(parents=True)

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        """A file of the administrator's, or, below users/, of a user's."""
        path = self.etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def all(self) -> dict[str, str]:
        """Every file below both, by its path from the folder's own parent."""
        found = (p for top in (self.etc, self.run) for p in top.rglob("*") if p.is_file())
        return {f"{p.relative_to(self.etc.parent.parent)}": p.read_text() for p in found}


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    files, us = Files(tmp_path), os.geteuid()
    mask = os.umask(0o077)  # what is written may be read by everybody nevertheless
    monkeypatch.setattr(rule_files, "_LASTING", files.etc)
    monkeypatch.setattr(rule_files, "_PASSING", files.run)
    monkeypatch.setattr(rule_files, "load", lambda: folders.load((files.etc, files.run), us))
    monkeypatch.setattr(rule_files, "read", lambda path: trusted.read(path, us))
    yield files
    os.umask(mask)


def add(peer: Peer, asked: AddRule, **access: Allowed) -> str:
    """Add a rule; its place, from the folder's own parent."""
    return rule_files.add(peer, asked, access).place.rpartition("/etc/")[2].rpartition("/run/")[2]


def refused(peer: Peer, asked: AddRule | EditRule, **access: Allowed) -> ProcrouteError:
    """Why it is refused."""

    def ask() -> RouteRule:
        return (
            rule_files.add(peer, asked, access)
            if isinstance(asked, AddRule)
            else rule_files.edit(peer, asked)
        )

    with pytest.raises(ProcrouteError) as caught:
        ask()
    assert caught.value.hint
    return caught.value


def test_a_rule_is_added_to_its_owners_file(there: Files) -> None:
    assert add(ROOT, AddRule(CURL)) == "rules.d/90-added.toml:3"
    assert add(ROOT, AddRule(CURL, file="10-mine", passing=True)) == "rules.d/10-mine.toml:3"
    assert add(ADA, AddRule(CURL)) == "rules.d/users/1000/90-added.toml:3"
    assert set(there.all()) == {
        "etc/rules.d/90-added.toml",
        "run/rules.d/10-mine.toml",
        "etc/rules.d/users/1000/90-added.toml",
    }
    assert {stat.st_mode & 0o777 for stat in map(os.stat, there.etc.rglob("*.toml"))} == {0o644}


def test_what_is_added_is_neither_shadowed_nor_shadows_others(there: Files) -> None:
    for who, folder in ((ROOT, "rules.d"), (ADA, "rules.d/users/1000")):
        assert add(who, AddRule(CURL)) == f"{folder}/90-added.toml:3"
        assert add(who, AddRule(CURL, passing=True)) == f"{folder}/90-passing.toml:3"
        before = there.all()
        shadowed = refused(who, AddRule(CURL, file="90-added", passing=True))
        shadowing = refused(who, AddRule(CURL, file="90-passing"))
        assert (shadowed.code, shadowing.code, there.all()) == ("usage", "usage", before)
    (there.etc / "10-off.toml").symlink_to("/dev/null")
    assert refused(ROOT, AddRule(CURL, file="10-off", passing=True)).code == "usage"


def test_it_comes_after_what_is_there(there: Files) -> None:
    there.write("50-a.toml", WHOLE)
    assert add(ROOT, AddRule(CURL, file="50-a.toml")) == "rules.d/50-a.toml:10"
    assert there.all()["etc/rules.d/50-a.toml"].startswith(WHOLE)


@pytest.mark.parametrize("name", ["../a.toml", "a/b.toml", ".hidden", "a\nb", "\x1b[31m", "/etc/passwd"])
def test_a_name_leads_nowhere_else(there: Files, name: str) -> None:
    error = refused(ROOT, AddRule(CURL, file=name))
    assert (error.code, there.all(), error.message.isprintable()) == ("usage", {}, True)


def test_nothing_is_added_beside_what_is_bad(there: Files) -> None:
    there.write("10-bad.toml", "[[rule]]\nnmae = 'x'\n")
    before = there.all()
    assert refused(ROOT, AddRule(CURL)).code == "rules-bad"
    assert refused(ADA, AddRule(CURL)).code == "rules-bad"
    assert there.all() == before


def test_nothing_is_added_to_what_others_can_write_to(there: Files) -> None:
    there.write("users/1000/90-added.toml", WHOLE, 0o666)
    before = there.all()
    assert refused(ADA, AddRule(CURL)).code == "rules-bad"
    assert there.all() == before


def test_a_user_gives_what_he_may_give(there: Files) -> None:
    gateway = AddRule(WrittenRule(exe="/usr/bin/curl", via="wan1", gateway4="198.51.100.1"))
    assert refused(ADA, gateway).code == "not-permitted"
    assert refused(ADA, gateway, bob=Allowed(gateway_in_rules=True)).code == "not-permitted"
    others = AddRule(WrittenRule(user="bob", via="wan1"))
    assert refused(ADA, others).code == "not-permitted"
    assert not there.all()
    assert add(ADA, gateway, ada=Allowed(gateway_in_rules=True))
    assert add(BOB, gateway, **{"*": Allowed(gateway_in_rules=True)})
    narrower = {"ada": Allowed(), "*": Allowed(gateway_in_rules=True)}
    assert refused(ADA, gateway, **narrower).code == "not-permitted"
    assert add(ROOT, others)


def test_a_user_has_room_for_some(there: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_files, "_ROOM", 2)
    add(ADA, AddRule(CURL))
    add(ADA, AddRule(CURL, file="other"))
    assert refused(ADA, AddRule(CURL)).code == "not-permitted"
    add(BOB, AddRule(CURL))
    for _ in range(3):
        add(ROOT, AddRule(CURL))


@pytest.mark.parametrize("words", ["50-a.toml:6", "{}:6"], ids=["name", "path"])
def test_the_named_rule_changes_and_nothing_else(there: Files, words: str) -> None:
    path = there.write("50-a.toml", WHOLE)
    words = words.format(path)
    assert rule_files.edit(ROOT, EditRule(words, "disable")).line == 6
    assert path.read_text() == WHOLE + "enabled = false\n"
    rule_files.edit(ROOT, EditRule(words, "enable"))
    assert "enabled = false" not in path.read_text()
    rule_files.edit(ROOT, EditRule(words, "remove"))
    assert path.read_text().startswith('# mine\n[[rule]]\nname = "a" # odd\n')
    assert '"b"' not in path.read_text()


def test_a_user_changes_his_own_alone(there: Files) -> None:
    admins = there.write("50-a.toml", WHOLE)
    his = there.write("users/1000/50-a.toml", WHOLE)
    bobs = there.write("users/1001/60-b.toml", WHOLE)
    before = there.all()
    for path in (admins, bobs):
        assert refused(ADA, EditRule(f"{path}:6", "remove")).code == "not-permitted"
    assert refused(ADA, EditRule("60-b.toml:6", "remove")).code == "rule-unknown"
    assert refused(ROOT, EditRule("50-a.toml:6", "remove")).code == "rule-unknown"  # two are called so
    assert refused(ROOT, EditRule("50-a.toml:7", "remove")).code == "rule-unknown"
    assert there.all() == before
    rule_files.edit(ADA, EditRule("50-a.toml:6", "remove"))
    assert '"b"' not in his.read_text()
    assert there.all() == before | {f"{his.relative_to(there.etc.parent.parent)}": his.read_text()}


class NoSpace:
    """Has one kind of call fail."""

    def __init__(self, call: str) -> None:
        self._call = call

    def due(self, call: str, _: object) -> int:
        return errno.ENOSPC if call == self._call else 0

    def done(self, call: str, about: object) -> None:
        pass


@pytest.mark.parametrize("call", ["write", "rename"])
def test_whole_or_not_at_all(there: Files, call: str) -> None:
    there.write("50-a.toml", WHOLE)
    faults.hook(NoSpace(call))
    try:
        with pytest.raises(OSError, match="No space"):
            rule_files.add(ROOT, AddRule(CURL, file="50-a.toml"), {})
        with pytest.raises(OSError, match="No space"):
            rule_files.edit(ROOT, EditRule("50-a.toml:6", "remove"))
    finally:
        faults.hook(None)
    assert there.all() == {"etc/rules.d/50-a.toml": WHOLE}
