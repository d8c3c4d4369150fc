"""cgroup v2 mounted several times, in part, read-only, or in another cgroup namespace than ours."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.running import ENVIRONMENT, PROCROUTE, ours, run_by, unchanged, until
from tests.netns.traffic import FAMILIES, SERVER

promise = pytest.mark.promise
SUB = "/sys/fs/cgroup/sub"
LEAF = f"echo 0 >{SUB}/leaf/cgroup.procs;"
SECOND = "mount -t cgroup2 none /run/second;"
BOUND = f"mount --bind {SUB} /run/second; umount -R /sys/fs/cgroup;"
# What a shell in a mount namespace of its own does; and how it then goes on.
TREES = {
    "twice": (SECOND, ""),
    "the first read-only": ("mount -o remount,bind,ro /sys/fs/cgroup; mount -t cgroup2 none /opt;", ""),
    "covered by a part": (f"{LEAF} mount --bind {SUB} /sys/fs/cgroup;", ""),
    "a part, from within": (f"{LEAF} {BOUND}", ""),
    "a part, from outside": (BOUND, ""),
    "from outside the namespace": (LEAF, "unshare --cgroup"),
    "within the namespace": (
        f"{LEAF} umount -R /sys/fs/cgroup;",
        "unshare --cgroup sh -ec 'mount -t cgroup2 none /sys/fs/cgroup; exec \"$@\"' sh",
    ),
}
UNSEEN = {"a part, from outside": "0::/sub\n", "from outside the namespace": "0::/../..\n"}
"""Where the mount does not show, or the kernel not tell, where it came from: the root of the mount."""
each_tree = pytest.mark.parametrize("tree", TREES)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.sh(f"mkdir -p /run/mount /run/second {SUB}/leaf")
        yield lab


def there(tree: str, *words: str) -> list[str]:
    """The words that run a command on such a machine."""
    mounts, then = TREES[tree]
    return ["unshare", "--mount", "sh", "-ec", f'{mounts} exec {then} "$@"', "sh", *words]


def within(lab: Lab, tree: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end on such a machine."""
    return lab.run(there(tree, *words), env=ENVIRONMENT)


@promise("CGROUP-02", "PATH-01")
@each_tree
def test_a_command_is_routed_and_nothing_stays(lab: Lab, tree: str) -> None:
    with unchanged(lab):
        for family in FAMILIES:
            ask = f"import socket; print(socket.create_connection(('{SERVER[family]}', 7000)).recv(999))"
            done = within(lab, tree, *run_by("wan1"), "python3", "-c", ask)
            assert '"router": "wan1"' in done.stdout, done.stderr
            assert done.stderr == ""


@promise("CGROUP-02", "ESC-01", "ESC-02")
@each_tree
@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["", "strict"])
def test_a_run_in_a_run_has_not_left(lab: Lab, tree: str, options: tuple[str, ...]) -> None:
    done = within(lab, tree, *run_by("wan1", *options), *run_by("wan2"), "sleep", "0.4")
    assert (done.returncode, done.stderr) == (0, "")
    assert not ours(lab)


@promise("CGROUP-02", "ESC-02")
@each_tree
def test_one_that_leaves_a_strict_route_has(lab: Lab, tree: str) -> None:
    """The negative control of the last: by a mount of its own, to the root of its cgroup namespace."""
    script = "mount -t cgroup2 none /opt; echo 0 >/opt/cgroup.procs; exec sleep 20"
    inner = ["unshare", "--mount", "sh", "-c", script]
    done = within(lab, tree, *run_by("wan1", "--strict"), *inner)
    assert done.returncode == 128 + 9, done.stderr
    assert "left the route for the cgroup /" in done.stderr
    assert not ours(lab)


@promise("CGROUP-02", "CLEAN-04")
@each_tree
def test_what_cleanup_lets_go_returns_to_where_it_was(lab: Lab, tree: str) -> None:
    origin = "cat /proc/self/cgroup; exec "
    pipe = subprocess.PIPE
    words = there(tree, "sh", "-c", f'{origin} "$@"', "sh", *run_by("wan1"), "sh", "-c", "echo $$; read go")
    with lab.machine.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        lines = iter(process.stdout.readline, "")
        before = next(line for line in lines if line.startswith("0::"))
        pid = int(next(line for line in lines if line.strip().isdecimal()))
        enter = ["nsenter", "--mount", "--cgroup", "--target", str(pid)]
        lab.run([*enter, *PROCROUTE, "cleanup", "--force"], env=ENVIRONMENT, check=True)
        now = lab.run([*enter, "cat", f"/proc/{pid}/cgroup"], check=True).stdout
        assert UNSEEN.get(tree, before) in now
        process.communicate("\n", timeout=20 * FACTOR)
    until(lambda: not ours(lab), what="the clean-up")


@promise("ERR-05", "CLEAN-05")
def test_where_it_is_read_only(lab: Lab) -> None:
    only = "mount -o remount,bind,ro /sys/fs/cgroup;"
    with unchanged(lab):
        words = ["unshare", "--mount", "sh", "-ec", f'{only} exec "$@"', "sh"]
        done = lab.run([*words, *run_by("wan1"), "true"], env=ENVIRONMENT)
        assert done.returncode == 125
        assert done.stderr.startswith("procroute: cgroup v2 is mounted read-only: cannot make the cgroup")
        assert "remount,rw" in done.stderr
        done = lab.run([*words, *PROCROUTE, "cleanup"], env=ENVIRONMENT)
        assert (done.returncode, done.stdout, done.stderr) == (0, "nothing was left\n", "")
