"""What this kernel can do with programs on cgroups."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from procroute.identity import NO_BPF
from procroute.kernel import libbpf
from procroute.kernel.bpf.catalogue import PROGRAMS, UNIX_CONNECT

# bpf(2): without CONFIG_BPF_SYSCALL; BPF_PROG_QUERY without CONFIG_CGROUP_BPF.
_CANNOT: Final = frozenset({errno.ENOSYS, errno.EINVAL})
_BTF: Final = Path("/sys/kernel/btf/vmlinux")
_refused = False


def switched_off() -> bool:
    """Whether somebody wants to do without (PROCROUTE_NO_BPF=1, or anything but 0)."""
    return os.environ.get(NO_BPF, "0") not in ("", "0")


def available(cgroup: Path) -> bool:
    """Whether programs can be attached to cgroups, asked about one that is there.

    What is only forbidden counts as available: attaching says why. Raises ProcrouteError library-missing.
    """
    if switched_off():
        return False
    directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _has_hook(directory, PROGRAMS[0].hook)
    finally:
        os.close(directory)


def closes_helpers(cgroup: int) -> bool:
    """Whether processes can be kept from asking who looks up in their stead. cgroup: the descriptor of one.

    The hook is of Linux 6.7; what is read there is found by the kernel's BTF.
    """
    return not (_refused or switched_off()) and _BTF.exists() and _has_hook(cgroup, UNIX_CONNECT)


def helpers_refused() -> None:
    """Note that the kernel takes no program of ours for that hook (kernel_lockdown(7)): we do without."""
    global _refused  # what the kernel takes does not change while we run
    _refused = True


def _has_hook(cgroup: int, hook: int) -> bool:
    try:
        libbpf.query(cgroup, hook)
    except OSError as e:
        return e.errno not in _CANNOT
    return True
