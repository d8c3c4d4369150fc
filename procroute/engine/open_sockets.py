"""The internet sockets that processes hold, looked at.

Everything is done to pinned processes, so that it never meets who got their number; a descriptor is what it
was only if the inode says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from socket import SOCK_DGRAM, SOCK_STREAM

from msgspec import Struct
from msgspec.structs import replace

from procroute.core.moving import Kind, OpenSocket
from procroute.kernel import family, held, netns, sockets, taking
from procroute.kernel.pinned import Known, pinned

Listing = dict[int, list[sockets.InetSocket]]
"""By inode; of MPTCP, which is one socket to its program, there are several."""


class Seen(Struct, frozen=True):
    """A socket, and where it is held: as this descriptor of that process. listed: as the kernel lists it."""

    holder: Known
    descriptor: int
    inode: int
    open: OpenSocket
    listed: tuple[sockets.InetSocket, ...] = ()

    @property
    def cgroup(self) -> int:
        """The id of the cgroup that it was made in; 0: the kernel does not tell."""
        return self.listed[0].cgroup if self.listed else 0


def listing() -> Listing:
    """The TCP and UDP sockets of this network namespace that somebody holds. Raises OSError."""
    found: Listing = {}
    for one in sockets.listed(sockets.TCP, sockets.UDP):
        if one.inode:
            found.setdefault(one.inode, []).append(one)
    return found


class Ahead:
    """What the kernel lists, and who holds which socket, looked up while processes are being moved.

    A move waits for the kernel for milliseconds, and this takes as long; much longer where thousands of
    processes are. So nothing is looked up for processes without an internet socket, unless it is asked for.
    What is opened meanwhile is asked for itself later; who is handed a socket in just these milliseconds is
    missed, children apart.
    """

    def __init__(self, pids: Collection[int], *, tree: bool = False) -> None:
        """pids: the processes that are to be moved, or with `tree` those from which the others descend.

        descendants: these, parents first.
        """
        self._listing: Future[Listing] | None = None
        self._others: Future[dict[int, set[int]]] | None = None
        self.descendants = tuple(family.descendants(pids)) if tree else ()
        self._pids = {*pids, *self.descendants}
        if any(map(has_any, self._pids)):
            pool = ThreadPoolExecutor(1)
            self._listing = pool.submit(listing)
            self._others = pool.submit(held.everybodys, self._pids)
            pool.shutdown(wait=False)

    def listing(self) -> Listing:
        """As `listing`. Raises OSError."""
        return listing() if self._listing is None else self._listing.result()

    def others(self, members: Collection[int], later: Iterable[int]) -> dict[int, set[int]]:
        """As held.everybodys, without members. later: PIDs of processes that may have come since."""
        if self._others is None:
            return held.everybodys(members)
        found = self._others.result()
        for inode, pids in held.holders_among({*self._pids, *later}.difference(members)).items():
            found.setdefault(inode, set()).update(pids)
        return found


def has_any(pid: int) -> bool:
    """Whether a process holds an internet socket."""
    return any(taking.is_inet(pid, descriptor) for descriptor in held.sockets_of(pid).values())


def look(
    members: Iterable[Known],
    made_here: Collection[int] = (),
    known: Callable[[], Listing] = listing,
    given: Mapping[int, int] | None = None,
) -> list[Seen]:
    """The internet sockets of these processes, each once.

    made_here: the ids of the assignment's cgroups. known: tells what the kernel lists. given: the marks that
    nft gives to packets of sockets that were made in cgroups, by their ids.
    Raises OSError.
    """
    cookie = netns.cookie()
    found: dict[int, Seen] = {}
    entries: Listing | None = None
    for member in members:
        with pinned(member) as pidfd:
            if pidfd is None:
                continue
            for inode, descriptor in held.sockets_of(member.pid).items():
                if inode in found:
                    continue
                entries = known() if entries is None else entries
                seen = _see(member, pidfd, descriptor, inode, entries.get(inode), cookie)
                if seen is not None:
                    here, mark = seen.cgroup in made_here, (given or {}).get(seen.cgroup, 0)
                    if here or mark:
                        seen = replace(seen, open=replace(seen.open, made_here=here, given=mark))
                    found[inode] = seen
    return list(found.values())


def _see(
    member: Known,
    pidfd: int,
    descriptor: int,
    inode: int,
    entries: list[sockets.InetSocket] | None,
    cookie: int,
) -> Seen | None:
    if entries is None and not taking.is_inet(member.pid, descriptor):
        return None
    listed = tuple(entries or ())
    if listed and (listed[0].protocol == sockets.TCP or listed[0].state == sockets.ESTABLISHED):
        return Seen(member, descriptor, inode, _from_listing(listed[0]), listed)
    with taking.taken(pidfd, descriptor, inode) as sock:
        facts = sock and taking.facts(sock)
    return Seen(member, descriptor, inode, _from_facts(facts, cookie), listed) if facts else None


def _from_listing(one: sockets.InetSocket) -> OpenSocket:
    kind: Kind = "tcp" if one.protocol == sockets.TCP else "udp"
    connected = not one.remote.is_unspecified
    return OpenSocket(
        kind,
        one.local,
        one.local_port,
        one.remote if connected else None,
        one.state == sockets.LISTEN,
        one.ifindex,
        one.mark or 0,
    )


def _from_facts(facts: taking.Facts, cookie: int) -> OpenSocket:
    kinds: dict[tuple[int, int], Kind] = {
        (SOCK_STREAM, sockets.TCP): "tcp",
        (SOCK_DGRAM, sockets.UDP): "udp",
    }
    return OpenSocket(
        kinds.get((facts.kind, facts.protocol), "other"),
        facts.local,
        facts.local_port,
        facts.remote,
        facts.listening,
        facts.ifindex,
        facts.mark,
        facts.reuse,
        foreign=bool(cookie and facts.namespace and facts.namespace != cookie),
    )
