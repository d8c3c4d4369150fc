"""One process with its sockets, and by which adapter each of them leaves; nothing is changed or sent."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from procroute.core.census import Census
from procroute.core.inspected import STATES, Held, Kind, questions, told
from procroute.core.owners import route_of
from procroute.engine import open_sockets
from procroute.engine.move import marks_given
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import held, netns, records, sockets, taking
from procroute.kernel.linux import Linux
from procroute.kernel.living import living
from procroute.kernel.pinned import Known, lives, pinned
from procroute.kernel.process_facts import Facts, command_of
from procroute.kernel.refusal import refused
from procroute.kernel.route_get import route_get
from procroute.protocol import Inspected, Running, Socket

_KINDS: Final[Mapping[tuple[int, int], Kind]] = {
    (socket.SOCK_STREAM, socket.IPPROTO_TCP): "tcp",
    (socket.SOCK_STREAM, sockets.MPTCP): "tcp",
    (socket.SOCK_DGRAM, socket.IPPROTO_UDP): "udp",
    (socket.SOCK_DGRAM, socket.IPPROTO_ICMP): "ping",
    (socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6): "ping",
}
_WHOLE: Final = 1 << 23
"""More bytes than a command line can have (execve(2): 6 MB)."""
_LISTENING, _ESTABLISHED, _UNCONNECTED = (STATES[n] for n in (sockets.LISTEN, sockets.ESTABLISHED, 7))


def inspect(linux: Linux, who: Facts, assignments: Mapping[str, int]) -> Inspected:
    """A process that may be looked at. assignments: cgroup, from the mount point, to id.

    Raises ProcrouteError process-unknown where it has ended, and kernel-refused.
    """
    try:
        with pinned(Known(who.pid, who.began)) as pidfd:
            running = None if pidfd is None else _running(linux, who.pid, assignments)
            if pidfd is None or running is None:
                raise _ended(who.pid)
            found = Inspected(
                process=running,
                executable=_executable(who.pid),
                sockets=list(_sockets(linux, who, pidfd, running.cgroup)),
            )
            if not lives(pidfd):  # the number may be another's by now
                raise _ended(who.pid)
            return found
    except OSError as e:
        raise refused(e, "socket", "tell of open sockets") from e


def _ended(pid: int) -> ProcrouteError:
    return ProcrouteError("process-unknown", f"process {pid} has ended", "ps(1) lists them")


def _running(linux: Linux, pid: int, assignments: Mapping[str, int]) -> Running | None:
    found = living(pid)
    if found is None:
        return None
    census = Census(linux.cgroup_mount.below, units=linux.placement.by_systemd)
    census.assign(assignments)
    census.look_anew([found])
    return next(replace(seen.running, command=command_of(pid, _WHOLE)) for seen in census.people)


def _executable(pid: int) -> str:
    try:
        return os.fsencode(os.readlink(f"/proc/{pid}/exe")).decode(errors="replace")
    except OSError:
        return ""


def _sockets(linux: Linux, who: Facts, pidfd: int, cgroup: str) -> Iterator[Socket]:
    targets = _targets(linux)
    number = _number(targets, linux.mount / cgroup.lstrip("/"), who)
    given = marks_given(linux.identity, ((target.live, [target.path]) for target in targets))
    names = dict(socket.if_nameindex())
    for each in _held(linux.identity, who.pid, pidfd, given):
        answers = (route_get(linux.netlink, question) for question in questions(each, who.uids[1]))
        way = next((answer for answer in answers if not answer.error and answer.ifindex), None)
        index = each.ifindex if way is None else way.ifindex
        yield told(
            each,
            names.get(index, ""),
            loops=way is not None and way.kind == "local",
            number=number,
            identity=linux.identity,
        )


def _targets(linux: Linux) -> list[records.Target]:
    """Of all routes, their own and further ones."""
    linux.observe()
    own = (t for t in records.targets(linux.mount, linux.namespace) if t.identity == linux.identity)
    return [*own, *linux.further_targets()]


def _number(targets: Sequence[records.Target], place: Path, who: Facts) -> int:
    """Of the route whose target a cgroup is in, the nearest one; else of the one that its user's sockets
    follow; 0: of none."""
    above = [t for t in targets if place.is_relative_to(t.path)]
    nearest = max(above, key=lambda t: len(t.path.parts), default=None)
    if nearest is not None:
        return nearest.live.number
    live = route_of((t.live for t in targets), *who.uids[:2])
    return 0 if live is None else live.number


def _held(identity: Identity, pid: int, pidfd: int, given: Mapping[int, int]) -> Iterator[Held]:
    mine = held.sockets_of(pid)
    listing = open_sockets.listing() if mine else {}
    cookie = netns.cookie()
    for inode, descriptor in mine.items():
        entries = listing.get(inode)
        if entries:
            one = entries[0]
            mark = identity.mark_of_packets(one.mark or 0, given.get(one.cgroup, 0))
            yield _from_listing(one, mark)
        elif taking.is_inet(pid, descriptor):
            with taking.taken(pidfd, descriptor, inode) as sock:
                facts = sock and taking.facts(sock)
                found = sock and facts and _from_facts(sock, facts, cookie)
            if found:
                yield found


def _from_listing(one: sockets.InetSocket, mark: int) -> Held:
    connected = not one.remote.is_unspecified
    return Held(
        kind="udp" if one.protocol == sockets.UDP else "tcp",
        local=one.local,
        local_port=one.local_port,
        remote=one.remote if connected else None,
        remote_port=one.remote_port if connected else 0,
        state=STATES.get(one.state, ""),
        ifindex=one.ifindex,
        mark=mark,
    )


def _from_facts(sock: socket.socket, facts: taking.Facts, cookie: int) -> Held | None:
    """One that the kernel lists nowhere; None where it is of a kind that is not told of."""
    kind = "raw" if facts.kind == socket.SOCK_RAW else _KINDS.get((facts.kind, facts.protocol))
    if kind is None:
        return None
    state = _LISTENING if facts.listening else _UNCONNECTED if facts.remote is None else _ESTABLISHED
    return Held(
        kind=kind,
        local=facts.local,
        local_port=facts.local_port,
        remote=facts.remote,
        remote_port=_remote_port(sock),
        state=state,
        ifindex=facts.ifindex,
        mark=facts.mark,
        foreign=bool(cookie and facts.namespace and facts.namespace != cookie),
    )


def _remote_port(sock: socket.socket) -> int:
    try:
        return int(sock.getpeername()[1])
    except OSError:
        return 0
