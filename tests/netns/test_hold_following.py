"""Files of rules that are replaced, linked to, moved, mounted over, or not there yet."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.holding import PLACE, Daemon, first, holding, place_with_route, routers, rule
from tests.netns.running import until

promise = pytest.mark.promise
HERE = f"{PLACE}/here"
APP = f"{HERE}/app"


@pytest.fixture(scope="module")
def routed_place() -> Iterator[tuple[Lab, str]]:
    """See place_with_route."""
    with place_with_route() as made:
        yield made


@pytest.fixture
def place(routed_place: tuple[Lab, str]) -> Iterator[tuple[Lab, Daemon]]:
    """The lab, with an empty folder, and a daemon that holds nothing yet."""
    lab, cgroup = routed_place
    lab.sh(f"umount -n -l {HERE} 2>/dev/null; rm -rf {HERE} && mkdir {HERE}")
    with holding(lab, cgroup) as daemon:
        yield lab, daemon


def way(lab: Lab, program: str) -> str:
    """By which router a program comes out."""
    (router,) = routers(lab.run([program], check=True).stdout)
    return router


def soon(lab: Lab, program: str, router: str) -> None:
    """It comes out there, now or in a moment."""
    until(lambda: way(lab, program) == router, 5)


def copied(to: str) -> str:
    """The words that put a program there."""
    return f"cp {first(4)} {shlex.quote(to)}"


@promise("HOLD-10")
@pytest.mark.parametrize(
    ("before", "change", "held"),
    [
        ("true", copied(APP), "appears"),
        (f"rmdir {HERE}", f"mkdir -p {HERE} && {copied(APP)}", "appears with its folder"),
        (copied(APP), f"{copied(f'{HERE}/new')} && mv {HERE}/new {APP}", "replaced"),
        (copied(APP), f"rm {APP} && {copied(APP)}", "removed and made anew"),
        (f"mkdir {HERE}/a && {copied(f'{HERE}/a/x')}", f"ln -s a/x {APP}", "a link appears"),
        (
            f"cd {HERE} && mkdir a b && {copied(f'{HERE}/a/x')} && cp a/x b && ln -s a/x app",
            f"ln -sfn b/x {HERE}/link && mv -T {HERE}/link {APP}",
            "a link leads elsewhere",
        ),
        (
            f"mkdir {PLACE}/moved; {copied(f'{PLACE}/moved/app')}; rmdir {HERE}",
            f"mv {PLACE}/moved {HERE}",
            "its folder is moved here",
        ),
        (copied(APP), f"mount -n -t tmpfs lab {HERE} && {copied(APP)}", "on a mount over it"),
    ],
    ids=lambda value: value if " " not in value or "/" not in value else "",
)
def test_what_becomes_of_a_path(place: tuple[Lab, Daemon], before: str, change: str, held: str) -> None:
    lab, daemon = place
    lab.sh(before)
    daemon.hold(rule(APP))
    lab.sh(change)
    soon(lab, APP, "wan1")
    daemon.hold()
    soon(lab, APP, "wan2")


@promise("HOLD-10")
def test_globs_hard_links_and_what_was_renamed_away(place: tuple[Lab, Daemon]) -> None:
    lab, daemon = place
    lab.sh(f"mkdir {HERE}/one && {copied(f'{HERE}/one/app')} && ln {HERE}/one/app {HERE}/hard")
    daemon.hold(rule(f"{HERE}/*/app"))
    assert way(lab, f"{HERE}/one/app") == "wan1"
    assert way(lab, f"{HERE}/hard") == "wan1"
    assert daemon.heard("Exec")[-1]["path"] == f"{HERE}/hard", "the daemon can tell them apart"
    lab.sh(f"mkdir {HERE}/two && {copied(f'{HERE}/two/app')}")
    soon(lab, f"{HERE}/two/app", "wan1")
    lab.sh(f"mv {HERE}/one/app {HERE}/away")
    soon(lab, f"{HERE}/away", "wan2")
    soon(lab, f"{HERE}/hard", "wan2")


@promise("HOLD-10")
def test_only_those_files(place: tuple[Lab, Daemon]) -> None:
    lab, daemon = place
    lab.sh(f"{copied(APP)} && {copied(f'{HERE}/other')}")
    assert daemon.hold(rule(APP))["files"] == 1
    assert way(lab, f"{HERE}/other") == "wan2"
    assert not daemon.heard("Exec")


@promise("HOLD-11")
def test_a_package_upgrade_leaves_no_gap(place: tuple[Lab, Daemon]) -> None:
    lab, daemon = place
    lab.sh(copied(APP))
    daemon.hold(rule(APP))
    new = f"{APP}.dpkg-new"
    upgrade = f"{copied(new)} && sync -f {new} && sleep 0.1 && mv -f {new} {APP} && exec {APP}"
    for number in range(1, 31):
        assert dict(routers(lab.sh(upgrade))) == {"wan1": 1}
        until(lambda: len(daemon.heard("Exec")) == number)  # noqa: B023
    # what only looks like one is a program by itself
    lab.sh(copied(f"{APP}-other"))
    assert way(lab, f"{APP}-other") == "wan2"


@promise("HOLD-10")
def test_what_cannot_be_held_is_said(place: tuple[Lab, Daemon]) -> None:
    lab, daemon = place
    loader = lab.sh("readlink -f /lib*/ld-linux*.so* /lib/ld-musl*.so* 2>/dev/null | head -1").strip()
    said = daemon.hold(rule(loader))
    assert said["files"] == 0
    assert "loads every program" in said["faults"][loader]
