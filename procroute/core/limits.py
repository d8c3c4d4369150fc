"""What cannot be promised on this machine, and why: a fixed list, of which facts choose."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from procroute.core.machine import Machine
from procroute.core.reverse_path import is_checked


class Limit(Struct, frozen=True):
    """id: for programs, and for good; text: for people, a sentence."""

    id: str
    text: str


_TEXTS: Mapping[str, str] = {
    "no-ipv6": "This kernel has no IPv6: commands have IPv4 only.",
    "no-netns-cookie": "Linux before 5.14: sockets that a command makes in a network namespace of its own "
    "are taken for the machine's.",
    "strangers": "TCP clients that come in by another adapter get no answer while the reverse path is "
    "checked: {adapters}.",
    "closed-sockets": "What the kernel itself answers for a socket that is gone (a reset, port unreachable) "
    "goes by main, as without procroute.",
    "no-bpf-source": "Without cgroup BPF getsockname() tells the address of the adapter that main takes, "
    "also where the packets leave by another; and to the LAN they have the address of the adapter.",
    "no-bpf-main": "Without cgroup BPF a command reaches what main has a way to: with no default there, "
    "nothing beyond the LAN. When main's adapter gets another address connections end.",
    "no-bpf-tied": "Without cgroup BPF a connection that is tied to another adapter, or to its address, is "
    "not refused at once: the latter leaves by the route's adapter, from the address of that.",
    "no-bpf-tunnels": "Without cgroup BPF no route leads through a tunnel of the kernel's (WireGuard, GRE), "
    "and no command reaches a LAN behind one.",
    "no-bpf-resolvers": "Without cgroup BPF who asks a resolver on this machine, or a link-local one, past "
    "its own /etc/resolv.conf is refused, or asks that by the route's adapter.",
    "no-bpf-servers": "Without cgroup BPF commands go on asking the name servers that their route had when "
    "they began, by its adapter, when that gets others.",
    "no-bpf-words": "Without cgroup BPF what has no way is refused in other words (EPERM, connection "
    "refused), and a ping over IPv6 after a second.",
    "no-bpf-mptcp": "Without cgroup BPF who asks for MPTCP gets it; all of its flows leave by the route.",
    "no-bpf-ports": "Without cgroup BPF a port from which a command tried in vain to connect is of no use to "
    "others for the same server, until conntrack has forgotten it (two minutes) or the route ends.",
    "no-bpf-flush": "Without cgroup BPF nothing guards a command from when somebody flushes the nft ruleset "
    "until it is repaired.",
    "no-bpf-leaving": "Without BPF what leaves its route by another cgroup is seen within 3 s, not at once.",
    "no-bpf-counting": "Without cgroup BPF what an assignment carries is not counted, but what its route "
    "does.",
    "no-bpf-failover": "Without cgroup BPF connections by an adapter that a route has left do not go on: "
    "they stall, or their server ends them.",
    "leavers-unseen": "This kernel does not tell who leaves a route by another cgroup (no BTF, or no BPF): "
    "procrouted does not see it. A `run` with an engine of its own does.",
    "helpers": "This kernel cannot close nscd and resolved to what is routed (Linux 6.7 with BTF can). "
    "Where glibc asks these look-ups do not follow, but for commands of root's `run`.",
    "no-bpf-cost": "Without cgroup BPF connections of the whole machine are tracked: those of commands cost "
    "about 1.4 times as much in the kernel, and answers to datagrams are awaited for half a minute.",
    "holder": "When the holder of execs ends, programs that rules name by exe start by the machine's own "
    "way until procrouted has started it again (0.1 s). Rules by unit and user need no process.",
    "root": "A command that runs as root can leave its cgroup, or write frames past any routing.",
}


WITHOUT_BPF = tuple(key for key in _TEXTS if key.startswith("no-bpf-"))
"""What a kernel without cgroup BPF cannot do, and one with it can."""


def limits(
    machine: Machine,
    *,
    netns_cookie: bool,
    by_packets: bool = False,
    moves_told: bool = True,
    leavers_told: bool = True,
    helpers_closed: bool = True,
    holder: bool = False,
) -> list[Limit]:
    """Those that hold here, always in the same order.

    netns_cookie: whether the kernel has them. by_packets: a route marks packets alone, or would. moves_told:
    the kernel tells of processes that are moved; leavers_told: and who descends from a command.
    helpers_closed: it can keep commands from daemons that look up in their stead. holder: one holds execs.
    """
    checked = sorted(a.name for a in machine.outward() if is_checked(machine, a))
    holds = {
        "no-ipv6": not machine.ipv6,
        "no-netns-cookie": not netns_cookie,
        "strangers": bool(checked),
        "closed-sockets": True,
        "holder": holder,
        "root": True,
        **dict.fromkeys(WITHOUT_BPF, by_packets),
        "no-bpf-leaving": not moves_told,
        "leavers-unseen": not leavers_told,
        "helpers": not helpers_closed,
    }
    return [
        Limit(key, text.format(adapters=", ".join(checked))) for key, text in _TEXTS.items() if holds[key]
    ]
