"""The machine's view of the file system: the host's, with its own of all that a run may write.

/etc is an overlay on a tmpfs (changes stay in the lab), /run and /tmp are empty, /sys shows the machine's
adapters, /sys/fs/cgroup is its own tree, /proc its own processes; of /proc/sys only net.* is writable.
Sources: mount(8), overlayfs.rst, cgroup_namespaces(7).
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterable
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
)

_HIDDEN: Final = ("/tmp", "/run")
_UNIFIED: Final = Path("/sys/fs/cgroup/unified")


def visible(keep: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Directories that the machine needs although they lie where it has its own: Python, its code, these."""
    wanted = {sys.prefix, sys.base_prefix, *(os.fspath(path) for path in keep)}
    wanted |= {path for path in sys.path if os.path.isdir(path)}
    found: list[str] = []
    for path in sorted(map(os.path.realpath, wanted)):
        below = any(path.startswith(f"{hidden}/") for hidden in _HIDDEN)
        if below and not any(path.startswith(f"{parent}/") for parent in found):
            found.append(path)
    return found


def prepare(keep: list[str], resolvers: list[str], hybrid: bool) -> Path:
    """Make the view, in the caller's new mount namespace; the directory that is the root of its cgroups.

    keep: directories below /tmp or /run that stay visible; resolvers: name servers for resolv.conf;
    hybrid: put cgroup2 on /sys/fs/cgroup/unified, as systemd's hybrid hosts do.
    """
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    kept = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in keep]
    mount("lab", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV)
    _private_etc()
    detach("/tmp")
    for path in _HIDDEN:
        mode = "1777" if path == "/tmp" else "0755"
        mount("lab", path, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}")
    for path, fd in kept:
        os.makedirs(path, exist_ok=True)
        mount(f"/proc/self/fd/{fd}", path, None, MS_BIND | MS_REC)
        os.close(fd)
    _write_etc(resolvers)
    _detach_all("/sys")
    mount("sysfs", "/sys", "sysfs")
    root = _mount_cgroups(hybrid)
    try:
        mount("bpf", "/sys/fs/bpf", "bpf")
    except OSError:  # a kernel without it has nothing to pin either
        pass
    mount("proc", "/proc", "proc")
    mount("/proc/sys", "/proc/sys", None, MS_BIND)
    mount("none", "/proc/sys", None, MS_REMOUNT | MS_BIND | MS_RDONLY)
    mount("/proc/sys/net", "/proc/sys/net", None, MS_BIND)
    mount("none", "/proc/sys/net", None, MS_REMOUNT | MS_BIND)
    return root


def _detach_all(path: str) -> None:
    """Nothing stays below what is mounted next: `umount -R` of util-linux 2.40 trips over hidden mounts."""
    try:
        while True:
            detach(path)
    except OSError as error:
        if error.errno != errno.EINVAL:  # no mount is left
            raise


def _private_etc() -> None:
    os.makedirs("/tmp/upper")
    os.makedirs("/tmp/work")
    try:
        mount("lab", "/etc", "overlay", 0, "lowerdir=/etc,upperdir=/tmp/upper,workdir=/tmp/work")
    except OSError:  # no overlayfs here: a copy does as well, slower
        shutil.copytree("/etc", "/tmp/etc", symlinks=True, ignore_dangling_symlinks=True)
        mount("/tmp/etc", "/etc", None, MS_BIND)


def _write_etc(resolvers: list[str]) -> None:
    lines = [f"nameserver {address}" for address in resolvers]
    _replace("/etc/resolv.conf", "\n".join([*lines, "options timeout:1 attempts:2", ""]))
    _replace("/etc/hosts", "127.0.0.1 localhost machine\n::1 localhost machine\n")
    _replace("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
    shutil.rmtree("/etc/procroute", ignore_errors=True)
    # What a run on the machine keeps there names tables that the lab does not have.
    Path("/etc/iproute2/rt_tables.d/procroute.conf").unlink(missing_ok=True)


def _replace(path: str, text: str) -> None:
    Path(path).unlink(missing_ok=True)  # it may be a symbolic link to where nothing is now
    Path(path).write_text(text)


def _mount_cgroups(hybrid: bool) -> Path:
    root = Path("/sys/fs/cgroup")
    if hybrid:
        mount("tmpfs", str(root), "tmpfs", 0, "mode=755")
        root = _UNIFIED
        root.mkdir()
    mount("cgroup2", str(root), "cgroup2")
    return root
