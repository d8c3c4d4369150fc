"""Every BPF program for routes: its hook, what it is for, the object it is in; and their maps."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple


class Program(NamedTuple):
    """hook: enum bpf_attach_type (include/uapi/linux/bpf.h); kind: what goes when it is switched off."""

    name: str
    hook: int
    hook_name: str
    kind: str
    source: str


# In the order of attaching: the door is shut before the first socket is marked.
PROGRAMS: Final = (
    Program("pr_egress", 1, "cgroup_inet_egress", "guard", "guard"),
    Program("pr_ingress", 0, "cgroup_inet_ingress", "replies", "guard"),
    Program("pr_attempt4", 10, "cgroup_inet4_connect", "attempt", "guard"),
    Program("pr_attempt6", 11, "cgroup_inet6_connect", "attempt", "guard"),
    Program("pr_recvmsg4", 19, "cgroup_udp4_recvmsg", "dns", "dns"),
    Program("pr_recvmsg6", 20, "cgroup_udp6_recvmsg", "dns", "dns"),
    Program("pr_getpeername4", 29, "cgroup_inet4_getpeername", "dns", "dns"),
    Program("pr_getpeername6", 30, "cgroup_inet6_getpeername", "dns", "dns"),
    Program("pr_connect4", 10, "cgroup_inet4_connect", "dns", "dns"),
    Program("pr_connect6", 11, "cgroup_inet6_connect", "dns", "dns"),
    Program("pr_sendmsg4", 14, "cgroup_udp4_sendmsg", "dns", "dns"),
    Program("pr_sendmsg6", 15, "cgroup_udp6_sendmsg", "dns", "dns"),
    Program("pr_called", 0, "cgroup_inet_ingress", "inbound", "inbound"),
    Program("pr_answer4", 14, "cgroup_udp4_sendmsg", "inbound", "inbound"),
    Program("pr_answer6", 15, "cgroup_udp6_sendmsg", "inbound", "inbound"),
    Program("pr_answering", 2, "cgroup_inet_sock_create", "inbound", "inbound"),
    Program("pr_helper", 49, "cgroup_unix_connect", "helpers", "helpers"),
    Program("pr_bind4", 8, "cgroup_inet4_bind", "bound", "mark"),
    Program("pr_bind6", 9, "cgroup_inet6_bind", "bound", "mark"),
    Program("pr_listen", 3, "cgroup_sock_ops", "listen", "mark"),
    Program("pr_create", 2, "cgroup_inet_sock_create", "mark", "mark"),
)
# Not on a route's target, but at the root of the tree (kernel/owners.py).
OWNER_PROGRAMS: Final = (
    Program("pr_own_bind4", 8, "cgroup_inet4_bind", "owner", "owner"),
    Program("pr_own_bind6", 9, "cgroup_inet6_bind", "owner", "owner"),
    Program("pr_own_listen", 3, "cgroup_sock_ops", "owner", "owner"),
    Program("pr_own_create", 2, "cgroup_inet_sock_create", "owner", "owner"),
)
_ALL: Final = (*PROGRAMS, *OWNER_PROGRAMS)
BY_NAME: Final = {program.name: program for program in _ALL}
BY_SOURCE: Final = {
    source: tuple(program for program in _ALL if program.source == source)
    for source in ("guard", "dns", "helpers", "inbound", "mark", "owner")
}

# Sizes of keys and values, in bytes.
MAPS: Final = {
    ".data.door": (4, 164),
    "lan": (20, 16),
    "addresses": (20, 4),
    "drops": (4, 8),
    "traffic": (4, 16),
    "made": (8, 4),
    "servers": (4, 136),
    "resolvers": (16, 4),
    "owners": (4, 8),
    "answering": (4, 4),
}
RODATA: Final = ".rodata"
UNIX_CONNECT: Final = 49
DOOR: Final = ".data.door"


def object_path(source: str) -> str:
    """Where an object file lies."""
    return str(Path(__file__).with_name(f"{source}.bpf.o"))
