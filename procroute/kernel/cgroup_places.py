"""Cgroups as nft knows them: by a path below /sys/fs/cgroup, a depth, and the number of their inode.

libnftables looks for paths there and nowhere else (nftables, src/socket.c, cgroupv2_type_parse); the kernel
counts depths from the root of the caller's cgroup namespace (net/netfilter/nft_socket.c).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from procroute.core.ruleset import Place
from procroute.kernel import mounts
from procroute.kernel.cgroup_mount import CgroupMount

_USUAL = Path("/sys/fs/cgroup")


@lru_cache(4096)  # each look asks for those of all targets
def place(mount: CgroupMount, path: Path) -> Place:
    """A cgroup as it is named to nft. path: below the mount point."""
    named = path.relative_to(_USUAL if mount.path.is_relative_to(_USUAL) else mount.path)
    return Place(str(named), len(Path(mount.in_proc(path)).parts) - 1)


def can_be_named(mount: CgroupMount) -> bool:
    """Whether nft can be told of cgroups that are seen there: not of those outside our cgroup namespace."""
    return not mount.root.startswith("/..")


def key(path: Path) -> bytes:
    """A cgroup as nft's elements know it: its id in 8 bytes; none where it is gone."""
    try:
        return struct.pack("=Q", os.stat(path).st_ino)
    except FileNotFoundError:
        return b""


def below_the_usual(mount: CgroupMount, run: Callable[[str], None], script: str) -> None:
    """Run a script where cgroups are found: here, or in a thread with a mount namespace in which they are.

    Raises what `run` raises; OSError where there can be no such namespace.
    """
    if mount.path.is_relative_to(_USUAL):
        run(script)
        return

    def elsewhere() -> None:
        mounts.bind_alone(mount.path, _USUAL)
        run(script)

    from concurrent.futures import ThreadPoolExecutor  # costs 5 ms, and hardly any machine needs it

    with ThreadPoolExecutor(1) as threads:
        threads.submit(elsewhere).result()
