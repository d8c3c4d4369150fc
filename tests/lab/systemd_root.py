"""The file systems of a machine whose process 1 is systemd: all of them its own.

Its root is an overlay upon build/roots/SUITE, which is never written; /tmp, /var, /etc, /dev and /run are its
own, or systemd-tmpfiles would empty the host's. The interpreter and the checkout appear at the paths they
have here, the interpreter as the suite's own Python. /sys is read-only, so that udevd stays off; of /proc/sys
only net.* is writable.
Sources: systemd's container interface (systemd.io/CONTAINER_INTERFACE), pivot_root(2), overlayfs.rst.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from procroute.lab.namespaces import (
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    detach,
    mount,
    pivot_root,
)

_BASE: Final = "/mnt"
_DEVICES: Final = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
# What needs a kernel of one's own, or takes long for nothing.
_MASKED: Final = (
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "dev-hugepages.mount",
    "systemd-journald-audit.socket",
    "systemd-modules-load.service",
    "systemd-networkd-wait-online.service",
    "tmp.mount",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
)


def prepare(root: str, checkout: str, interpreter: str, resolvers: list[str]) -> Path:
    """Make them in the caller's new mount namespace, and go there; the root of its cgroups is returned.

    root: the suite's; checkout: procroute's; interpreter: our environment's; resolvers: for resolv.conf.
    """
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("box", _BASE, "tmpfs", 0, "mode=755")
    for name in ("upper", "work", "root"):
        os.mkdir(f"{_BASE}/{name}")
    new = Path(_BASE, "root")
    mount("box", str(new), "overlay", 0, f"lowerdir={root},upperdir={_BASE}/upper,workdir={_BASE}/work")
    _kernels(new)
    _devices(new / "dev")
    mount("tmpfs", f"{new}/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    os.makedirs(f"{new}/run/systemd/transient")  # systemd makes it once, for the first unit of that kind
    mount("tmpfs", f"{new}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    _settings(new / "etc", resolvers)
    _code(new, checkout, Path(interpreter))
    os.chdir(new)
    pivot_root(".", ".")
    detach(".")
    os.chdir("/")
    return Path("/sys/fs/cgroup")


def _kernels(new: Path) -> None:
    mount("proc", f"{new}/proc", "proc")
    for path, flag in ((f"{new}/proc/sys", MS_RDONLY), (f"{new}/proc/sys/net", 0)):
        mount(path, path, None, MS_BIND)
        mount("none", path, None, MS_REMOUNT | MS_BIND | flag)
    mount("sysfs", f"{new}/sys", "sysfs")
    mount("cgroup2", f"{new}/sys/fs/cgroup", "cgroup2")
    try:
        mount("bpf", f"{new}/sys/fs/bpf", "bpf")
    except OSError:  # a kernel without it has nothing to pin either
        pass
    mount("none", f"{new}/sys", None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def _devices(dev: Path) -> None:
    mount("tmpfs", str(dev), "tmpfs", MS_NOSUID, "mode=755")
    os.umask(0)
    for name, major, minor in _DEVICES:
        os.mknod(dev / name, 0o666 | 0o020000, os.makedev(major, minor))
    os.umask(0o022)
    for name in ("net", "pts", "shm"):
        (dev / name).mkdir()
    os.mknod(dev / "net/tun", 0o666 | 0o020000, os.makedev(10, 200))
    mount("devpts", f"{dev}/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=620,gid=5")
    mount("tmpfs", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for name, target in links.items():
        (dev / name).symlink_to(target)


def _settings(etc: Path, resolvers: list[str]) -> None:
    (etc / "hostname").write_text("machine\n")
    (etc / "machine-id").write_text(Path("/proc/sys/kernel/random/uuid").read_text().replace("-", ""))
    (etc / "resolv.conf").unlink(missing_ok=True)
    lines = [f"nameserver {address}" for address in resolvers]
    (etc / "resolv.conf").write_text("\n".join([*lines, "options timeout:1 attempts:2", ""]))
    (etc / "hosts").write_text("127.0.0.1 localhost machine\n::1 localhost machine\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
    quiet = etc / "systemd/resolved.conf.d/quiet.conf"  # or it speaks on every adapter by itself
    quiet.parent.mkdir(parents=True, exist_ok=True)
    quiet.write_text("[Resolve]\nLLMNR=no\nMulticastDNS=no\n")
    for unit in _MASKED:
        link = etc / "systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    (etc / "tmpfiles.d/tmp.conf").symlink_to("/dev/null")  # the checkout may lie in /tmp
    linger = etc.parent / "var/lib/systemd/linger"
    linger.mkdir(parents=True, exist_ok=True)
    (linger / "ada").touch()


def _code(new: Path, checkout: str, interpreter: Path) -> None:
    """The checkout, and in the place of our environment one with the suite's own Python."""
    inside = f"{new}{checkout}"
    os.makedirs(inside, exist_ok=True)
    mount(checkout, inside, None, MS_BIND)
    mount("none", inside, None, MS_REMOUNT | MS_BIND | MS_RDONLY)
    programs = Path(f"{new}{interpreter.parent}")
    prefix = programs.parent
    prefix.mkdir(parents=True, exist_ok=True)
    mount("tmpfs", str(prefix), "tmpfs", 0, "mode=755")
    programs.mkdir()
    for name in {"python", "python3", interpreter.name}:
        (programs / name).symlink_to("/usr/bin/python3")
    (prefix / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = true\n")
    script = programs / "procroute"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={checkout} exec {interpreter} -m procroute "$@"\n')
    script.chmod(0o755)
