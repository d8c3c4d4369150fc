"""What is to carry the marks of a new route on this machine."""

from __future__ import annotations

from procroute.errors import ProcrouteError
from procroute.kernel import cgroup_places
from procroute.kernel.bpf import support
from procroute.kernel.cgroup_mount import CgroupMount
from procroute.model import Marks


def marks_here(mount: CgroupMount, *, packet_marks: bool) -> Marks:
    """packet_marks: the belt is wanted; where nft cannot name the cgroups there is none.

    Raises ProcrouteError library-missing, and kernel-option where neither BPF nor nft can do it.
    """
    named = cgroup_places.can_be_named(mount)
    if support.available(mount.path):
        return Marks.BOTH if packet_marks and named else Marks.SOCKETS
    if not named:
        raise ProcrouteError(
            "kernel-option",
            f"{mount.path} shows cgroups outside our cgroup namespace: nft cannot be told of them",
            "it needs CONFIG_CGROUP_BPF, or a cgroup2 that is mounted in this namespace",
        )
    return Marks.PACKETS
