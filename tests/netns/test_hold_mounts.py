"""Files of rules on mounts that come and go: bound, overlaid, moved, passed on, and of other namespaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.holding import PLACE, Daemon, first, holding, place_with_route, routers, rule
from tests.netns.running import until

promise = pytest.mark.promise
HERE = f"{PLACE}/here"
APP = f"{HERE}/app"
COPY = f"cp {first(4)}"
_MOUNT = "mount -n -t tmpfs lab"
_CLEAR = (
    f"cd {PLACE}; last() {{ grep -oE ' {PLACE}/(here|beside)[^ ]* ' /proc/self/mountinfo | tail -1; }}; "
    'while [ "$(last)" ]; do umount -n -l $(last) || exit; done; rm -rf here beside'
)


@pytest.fixture(scope="module")
def routed_place() -> Iterator[tuple[Lab, str]]:
    """See place_with_route."""
    with place_with_route() as made:
        yield made


@pytest.fixture
def place(routed_place: tuple[Lab, str]) -> Iterator[tuple[Lab, Daemon]]:
    """The lab, with an empty folder and one beside it, and a daemon that holds nothing yet."""
    lab, cgroup = routed_place
    lab.sh(f"mkdir {HERE} {PLACE}/beside")
    try:
        with holding(lab, cgroup) as daemon:
            yield lab, daemon
    finally:
        lab.sh(_CLEAR)


def way(lab: Lab, program: str) -> str:
    """By which router a program comes out."""
    (router,) = routers(lab.run([program], check=True).stdout)
    return router


def soon(lab: Lab, program: str, router: str) -> None:
    """It comes out there, now or in a moment."""
    until(lambda: way(lab, program) == router, 5)


_OVERLAY = f"cd {PLACE}/beside && {_MOUNT} . && cd . && mkdir low up work && {COPY} low/app"
_OVER = f"cd {PLACE}/beside && mount -n -t overlay lab -o lowerdir=low,upperdir=up,workdir=work"


@promise("HOLD-10")
@pytest.mark.parametrize(
    ("before", "change", "undo"),
    [
        pytest.param(
            f"{COPY} {PLACE}/beside/x",
            f"mount -n --bind {PLACE}/beside/x {APP}",
            f"umount -n {APP}",
            id="a file is bound over it",
        ),
        pytest.param(
            f"{COPY} {PLACE}/beside/app",
            f"mount -n --bind {PLACE}/beside {HERE}",
            f"umount -n {HERE}",
            id="a folder is bound over its own",
        ),
        pytest.param(
            "true",
            f"{_MOUNT} {HERE} && {COPY} {APP}",
            f"umount -n {HERE}",
            id="a file system is mounted over it",
        ),
        pytest.param(
            f"{_MOUNT} {PLACE}/beside && mount --make-private {PLACE}/beside && {COPY} {PLACE}/beside/app",
            f"mount -n --move {PLACE}/beside {HERE}",
            f"umount -n {HERE}",
            id="a mount is moved there",
        ),
        pytest.param(_OVERLAY, f"{_OVER} {HERE}", f"umount -n {HERE}", id="an overlay is mounted over it"),
        pytest.param(
            f"mount -n --bind {HERE} {HERE} && mount --make-shared {HERE}",
            f"unshare --mount --propagation unchanged sh -c '{_MOUNT} {HERE} && {COPY} {APP}'",
            f"umount -n {HERE}",
            id="another namespace's mount is passed on",
        ),
    ],
)
def test_mounts_that_come_and_go(place: tuple[Lab, Daemon], before: str, change: str, undo: str) -> None:
    lab, daemon = place
    lab.sh(f"{COPY} {APP}")
    lab.sh(before)
    daemon.hold(rule(APP))
    lab.sh(change)
    soon(lab, APP, "wan1")
    other = daemon.heard("Exec")
    lab.sh(undo)
    soon(lab, APP, "wan1")
    until(lambda: len(daemon.heard("Exec")) > len(other), what="that what was there before is held again")
    daemon.hold()
    soon(lab, APP, "wan2")


@promise("HOLD-10")
def test_an_overlay_file_that_is_written_to_stays_held(place: tuple[Lab, Daemon]) -> None:
    """It gets another file below, and no other name."""
    lab, daemon = place
    lab.sh(f"{_OVERLAY}; {_OVER} {HERE}")
    daemon.hold(rule(APP))
    assert way(lab, APP) == "wan1"
    lab.sh(f"{COPY} {PLACE}/beside/new && cat {PLACE}/beside/new >{APP}")
    assert lab.sh(f"cd {PLACE}/beside; ls up") == "app\n"
    soon(lab, APP, "wan1")


@promise("HOLD-10")
def test_a_mount_that_a_glob_means(place: tuple[Lab, Daemon]) -> None:
    lab, daemon = place
    daemon.hold(rule(f"{HERE}/*/app"))
    lab.sh(f"mkdir {HERE}/one && {_MOUNT} {HERE}/one && {COPY} {HERE}/one/app")
    soon(lab, f"{HERE}/one/app", "wan1")
    lab.sh(f"{_MOUNT} {HERE} && mkdir {HERE}/two && {COPY} {HERE}/two/app")
    soon(lab, f"{HERE}/two/app", "wan1")


@promise("HOLD-10")
def test_paths_are_those_of_the_first_mount_namespace(place: tuple[Lab, Daemon]) -> None:
    """What somebody mounts over a program for himself is not that program; the program is, by any path."""
    lab, daemon = place
    lab.sh(f"{COPY} {APP}")
    daemon.hold(rule(APP))
    bound = f"mount -n --bind {HERE} {PLACE}/beside && {_MOUNT} {HERE} && {COPY} {APP}"
    unshared = ["unshare", "--mount", "sh", "-c"]
    for program, router in ((APP, "wan2"), (f"{PLACE}/beside/app", "wan1")):
        done = lab.run([*unshared, f"{bound} && exec {program}"], check=True)
        assert dict(routers(done.stdout)) == {router: 1}
    assert way(lab, APP) == "wan1"
