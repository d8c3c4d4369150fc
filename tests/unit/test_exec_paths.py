"""Where paths of rules lead, in trees that are made up: which files they mean, and what would change that."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from procroute.core.exec_paths import ANY, FILE, FOLDER, LINKS, MOST, Link, heir_of, trail
from procroute.rulebook.globs import matches_path


class Made:
    """A tree of paths: what is in each that is mentioned."""

    def __init__(self, files: Iterable[str] = (), links: dict[str, str] | None = None) -> None:
        self._kinds: dict[str, str | Link] = {path: Link(target) for path, target in (links or {}).items()}
        self._kinds |= dict.fromkeys(files, FILE)
        for path in list(self._kinds):
            for parent in Path(path).parents:
                self._kinds[str(parent)] = FOLDER
        self.looked = 0

    def kind(self, path: str) -> str | Link | None:
        self.looked += 1
        return self._kinds.get(path)

    def names(self, path: str) -> list[str]:
        return [Path(one).name for one in self._kinds if one != "/" and str(Path(one).parent) == path]


def test_a_plain_path() -> None:
    found = trail("/usr/bin/curl", Made(["/usr/bin/curl"]))
    assert found.files == {"/usr/bin/curl"}
    assert found.folders == {"/": {"usr"}, "/usr": {"bin"}, "/usr/bin": {"curl"}}


def test_what_is_not_there_yet_is_awaited_where_its_way_ends() -> None:
    found = trail("/opt/app/bin/app", Made(["/opt/other"]))
    assert not found.files
    assert found.folders == {"/": {"opt"}, "/opt": {"app"}}


def test_symbolic_links_are_followed_and_watched() -> None:
    tree = Made(
        ["/usr/lib/real"],
        {"/bin": "usr/bin", "/usr/bin/app": "../lib/alias", "/usr/lib/alias": "/usr/lib/real"},
    )
    found = trail("/bin/app", tree)
    assert found.files == {"/usr/lib/real"}
    assert found.folders == {
        "/": {"bin", "usr"},
        "/usr": {"bin", "lib"},
        "/usr/bin": {"app"},
        "/usr/lib": {"alias", "real"},
    }


def test_circles_of_links_end() -> None:
    tree = Made([], {"/a": "/b", "/b": "/a"})
    assert not trail("/a", tree).files
    assert tree.looked <= LINKS + 1


def test_globs() -> None:
    tree = Made(["/opt/one/bin/app", "/opt/two/bin/app", "/opt/two/bin/apple", "/opt/x"])
    found = trail("/opt/*/bin/app", tree)
    assert found.files == {"/opt/one/bin/app", "/opt/two/bin/app"}
    assert found.folders["/opt"] == {ANY}
    assert trail("/opt/t?o/bin/[a]pp*", tree).files == {"/opt/two/bin/app", "/opt/two/bin/apple"}


def test_any_depth() -> None:
    tree = Made(["/opt/app", "/opt/a/b/app", "/opt/a/app", "/opt/a/b/other"], {"/opt/loop": "/opt"})
    assert trail("/opt/**/app", tree).files == {"/opt/app", "/opt/a/app", "/opt/a/b/app"}
    below = {"/opt/app", "/opt/a/b/app", "/opt/a/app", "/opt/a/b/other"}
    assert trail("/opt/**", tree).files == below
    assert all(matches_path("/opt/**", path) for path in below)


def test_a_folder_or_a_file_with_more_behind_it_is_no_program() -> None:
    tree = Made(["/opt/app/bin"])
    assert not trail("/opt/app", tree).files
    assert not trail("/opt/app/bin/app", tree).files


def test_brackets_in_the_target_of_a_link_are_themselves() -> None:
    tree = Made(["/opt/[ab]/app", "/opt/a/app"], {"/app": "/opt/[ab]/app"})
    assert trail("/app", tree).files == {"/opt/[ab]/app"}


def test_there_is_an_end_to_looking() -> None:
    tree = Made([])
    tree.names = lambda path: map(str, range(MOST + 10)) if path == "/" else []  # type: ignore[method-assign, assignment, return-value]
    assert not trail("/*/app", tree).whole


_NAMES = st.sampled_from(["a", "b", "c"])


@given(
    st.lists(
        st.tuples(
            st.lists(_NAMES, min_size=1, max_size=3), st.none() | st.lists(_NAMES | st.just(".."), max_size=3)
        )
    ),
    st.lists(_NAMES | st.just(".."), min_size=1, max_size=4),
)
def test_it_leads_where_the_kernel_does(
    made: list[tuple[list[str], list[str] | None]], way: list[str]
) -> None:
    """Against os.path.realpath in a real folder."""

    class Real:
        def kind(self, path: str) -> str | Link | None:
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                return None
            if stat.S_ISLNK(mode):
                return Link(os.readlink(path))
            return FOLDER if stat.S_ISDIR(mode) else FILE if stat.S_ISREG(mode) else None

        def names(self, path: str) -> list[str]:
            return os.listdir(path)

    with tempfile.TemporaryDirectory() as folder:
        root = os.path.realpath(folder)
        for names, target in made:
            path = os.path.join(root, *names)
            above = os.path.realpath(os.path.dirname(path))
            if above != root and not above.startswith(f"{root}/"):
                continue  # a link leads out of the folder, to what is not ours
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                if target is None:
                    Path(path).touch(exist_ok=False)
                else:
                    os.symlink("/".join(target) or ".", path)
            except OSError:
                continue
        path = "/".join([root, *way])
        real = os.path.realpath(path)
        try:
            there = stat.S_ISREG(os.stat(path).st_mode)
        except OSError:
            there = False
        assert trail(path, Real()).files == ({real} if there else set())


def test_heirs() -> None:
    names = {"curl": None, "c": None, "app": None}
    assert heir_of("curl.dpkg-new", names) == "curl"
    assert heir_of("curl;5f3a1b", names) == "curl"
    assert heir_of(".curl.Xy12Ab", names) == "curl"
    assert heir_of("curl", names) == "c"
    assert not heir_of("wget", names)
    assert not heir_of("c", names)
    assert not heir_of(".", names)
