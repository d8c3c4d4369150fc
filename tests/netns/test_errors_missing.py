"""What procroute needs and is not there is told in one line and a hint, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.refusals import Wrong, refused
from tests.netns.running import ENVIRONMENT, PROCROUTE, unchanged

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.sh("mkdir -p /run/mount")  # umount(8) makes it
        yield lab


# --- who and where

# What is imported later is imported first: Python itself may lie where only root can read.
_AS_NOBODY = """
import sys, os, locale
import procroute.engine.run, procroute.engine.cleanup, procroute.config
import procroute.cli.run, procroute.cli.cleanup, procroute.cli.demo
from procroute.cli.main import main
os.setgroups([])
os.setresuid(65534, 65534, 65534)
sys.exit(main(sys.argv[1:]))
"""


@promise("ERR-04")
@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (
            ("run", "--via", "wan1", "--", "true"),
            "run must be started by root while no",
            "sudo procroute run",
        ),
        (("run", "--via", "wan1", "--", "true"), "run must be", "start it: sudo procroute daemon"),
        (("run", "--via", "wan1", "--user", "bob", "--", "true"), "run --user must", "--user bob"),
        (("cleanup",), "cleanup must be started by root", "sudo procroute cleanup"),
        (("demo",), "demo ", "sudo procroute demo"),
    ],
)
def test_without_root(lab: Lab, words: tuple[str, ...], says: str, hint: str) -> None:
    with unchanged(lab):
        done = lab.run([sys.executable, "-c", _AS_NOBODY, *words], env=ENVIRONMENT)
    assert not refused(done, Wrong(says, hint))


def elsewhere(lab: Lab, mounts: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run procroute in a mount namespace of its own, in which a script has changed something."""
    script = f'{mounts}\nexec "$@"'
    return lab.run(["unshare", "--mount", "sh", "-ec", script, "sh", *PROCROUTE, *words], env=ENVIRONMENT)


@promise("ERR-05")
@pytest.mark.parametrize(
    "words", [("run", "--via", "wan1", "--", "true"), ("cleanup",)], ids=["run", "cleanup"]
)
def test_without_cgroup2(lab: Lab, words: tuple[str, ...]) -> None:
    with unchanged(lab):
        done = elsewhere(lab, "umount -R /sys/fs/cgroup", *words)
    assert not refused(done, Wrong("cgroup v2 is not mounted", "mount -t cgroup2"))


@promise("ERR-08")
@pytest.mark.parametrize(
    ("mounts", "says"),
    [
        ("mount -o remount,ro,bind /sys/fs/cgroup", "cgroup v2 is mounted read-only: cannot make the cgroup"),
        ("mount -t tmpfs -o ro none /run", "/run/procroute"),
    ],
    ids=["cgroups", "run"],
)
def test_where_nothing_can_be_written(lab: Lab, mounts: str, says: str) -> None:
    with unchanged(lab):
        done = elsewhere(lab, mounts, "run", "--via", "wan1", "--", "true")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith(f"procroute: {says}")
    assert "Traceback" not in done.stderr


@promise("ERR-08")
@pytest.mark.parametrize(
    "words", [("run", "--via", "wan1", "--", "true"), ("cleanup",)], ids=["run", "cleanup"]
)
def test_mounts_with_names_in_no_encoding_are_no_error(lab: Lab, words: tuple[str, ...]) -> None:
    mount = 'd=$(printf \'/run/\\377\'); mkdir "$d"; mount -t tmpfs none "$d"'
    done = elsewhere(lab, mount, *words)
    lab.sh("rmdir \"$(printf '/run/\\377')\"")
    assert (done.returncode, done.stderr) == (0, "")


# --- what is missing

_WITHOUT = """
import sys
missing = sys.argv.pop(1)
for name in [m for m in sys.modules if m.split(".")[0] == missing]:
    del sys.modules[name]
sys.modules[missing] = None
from procroute.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
_HIDDEN = """
import ctypes, sys
real = ctypes.CDLL
def without(name, *words, **named):
    if name and "{0}" in str(name):
        raise OSError(f"{{name}}: cannot open shared object file: No such file or directory")
    return real(name, *words, **named)
ctypes.CDLL = without
ctypes.cdll.LoadLibrary = without
from procroute.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
RUN = ("run", "--via", "wan1", "--", "true")


@promise("ERR-06")
@pytest.mark.parametrize("words", [RUN, ("cleanup",)], ids=["run", "cleanup"])
@pytest.mark.parametrize("package", ["msgspec", "pyroute2"])
def test_a_python_package_is_missing(lab: Lab, package: str, words: tuple[str, ...]) -> None:
    with unchanged(lab):
        done = lab.run([sys.executable, "-c", _WITHOUT, package, *words], env=ENVIRONMENT)
    assert not refused(done, Wrong(f"the Python package {package} is missing", f"pip install {package}"))


@promise("ERR-06")
def test_libbpf_is_missing(lab: Lab) -> None:
    with unchanged(lab):
        done = lab.run([sys.executable, "-c", _HIDDEN.format("libbpf"), *RUN], env=ENVIRONMENT)
    assert not refused(done, Wrong("libbpf.so.1 is missing", "libbpf1"))


@promise("ERR-06")
@pytest.mark.parametrize("how", ["library", "package"])
def test_nftables_is_missing_where_it_is_needed(how: str) -> None:
    """The reverse path check asks for our nft table."""
    with Lab(rp_filter=1) as lab, unchanged(lab):
        if how == "library":
            done = lab.run([sys.executable, "-c", _HIDDEN.format("libnftables"), *RUN], env=ENVIRONMENT)
        else:
            done = lab.run([sys.executable, "-c", _WITHOUT, "nftables", *RUN], env=ENVIRONMENT)
        assert not refused(done, Wrong("libnftables cannot be loaded", "libnftables1"))


_OLD_KERNEL = """
import errno, sys
from procroute.kernel.bpf import objects
def load(self):
    raise OSError(errno.EINVAL, "bpf_object__load")
objects.Object.load = load
from procroute.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@promise("ERR-07", "ERR-08")
def test_a_kernel_without_the_programs(lab: Lab) -> None:
    with unchanged(lab):
        done = lab.run([sys.executable, "-c", _OLD_KERNEL, *RUN], env=ENVIRONMENT)
    assert not refused(done, Wrong("this kernel does not take the BPF programs", "CONFIG_CGROUP_BPF"))
