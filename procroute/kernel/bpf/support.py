"""Whether this kernel can run programs on cgroups."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from procroute.identity import NO_BPF
from procroute.kernel import libbpf
from procroute.kernel.bpf.catalogue import PROGRAMS

# bpf(2): without CONFIG_BPF_SYSCALL; BPF_PROG_QUERY without CONFIG_CGROUP_BPF.
_CANNOT: Final = frozenset({errno.ENOSYS, errno.EINVAL})


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
        libbpf.query(directory, PROGRAMS[0].hook)
    except OSError as e:
        return e.errno not in _CANNOT
    finally:
        os.close(directory)
    return True
