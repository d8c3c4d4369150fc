"""The internet sockets that processes hold: looked at, judged together, and then touched one by one.

Everything is done to pinned processes, so that it never meets who got their number; a descriptor is what it
was only if the inode says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from socket import SOCK_DGRAM, SOCK_STREAM, socket

from msgspec import Struct
from msgspec.structs import replace

from procroute.core.moving import CANNOT, Fate, Ground, Kind, OpenSocket, Verdict, new_mark, twins
from procroute.kernel import family, held, netns, sockets, taking
from procroute.kernel.pinned import Known, pinned

Listing = dict[int, list[sockets.InetSocket]]
"""By inode; of MPTCP, which is one socket to its program, there are several."""
Judge = Callable[[OpenSocket, Ground], Verdict]


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


Decided = tuple[Seen, Verdict, int | None]
"""A socket, what becomes of it, and the bits of ours that it is to carry; None: those it has."""
Decide = Callable[[Seen], Decided]


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


def treat(
    seen: list[Seen],
    judge: Judge,
    ground: Ground,
    stays: Callable[[int], bool],
    *,
    holders: Callable[[], dict[int, set[int]]] = held.everybodys,
    plain: Collection[int] | None = None,
) -> list[Verdict]:
    """Decide for these sockets and do it; what became of each.

    stays: whether another process than their holders goes on as it was, by its PID. holders: tells who
    holds which socket, in all of the machine. plain: they are let go; the ids of cgroups that are surely no
    route's. Raises OSError.
    """
    ground = replace(ground, twins=twins(s.open for s in seen))
    verdicts = [judge(s.open, ground) for s in seen]
    acted_on = {s.inode for s, verdict in zip(seen, verdicts, strict=True) if verdict.fate.acts}
    who = holders() if acted_on else {}
    shared = {inode for inode in acted_on if any(map(stays, who.get(inode, ())))}

    def decide(one: Seen, verdict: Verdict | None = None) -> Decided:
        verdict = verdict or judge(one.open, ground)
        mark = new_mark(
            one.open, verdict, ground, leaving=plain is not None, plain=one.cgroup in (plain or ())
        )
        return one, verdict, mark

    judged = [
        decide(replace(one, open=replace(one.open, shared=True)))
        if one.inode in shared
        else decide(one, verdict)
        for one, verdict in zip(seen, verdicts, strict=True)
    ]
    done = []
    for holder, its in groupby(judged, lambda each: each[0].holder):
        done += _do_all(holder, list(its), decide, ground.identity.mark_mask)
    return done


def _do_all(holder: Known, its: list[Decided], decide: Decide, mask: int) -> list[Verdict]:
    """Do what was decided to the sockets of one process. Ends first: a goodbye goes as it would have."""
    ended = [_ended(one, verdict) for one, verdict, _ in its]
    if all(mark is None for _, _, mark in its):
        return ended
    with pinned(holder) as pidfd:
        return [
            verdict
            if mark is None or verdict.reason == CANNOT
            else _mark(pidfd, (one, verdict, mark), decide, mask)
            for (one, _, mark), verdict in zip(its, ended, strict=True)
        ]


def _mark(pidfd: int | None, decided: Decided, decide: Decide, mask: int) -> Verdict:
    """Mark a socket; what it was used for since it was looked at decides anew.

    One that was connected or bound meanwhile has got a source address of the way that it was on, and would
    send from that by the other one.
    """
    one, verdict, new = decided
    if pidfd is not None:
        with taking.taken(pidfd, one.descriptor, one.inode) as sock:
            if sock is not None:
                if verdict.fate is not Fate.RESET and (now := _since(one, sock)) is not None:
                    one, verdict, new = decide(now)
                    verdict = _ended(one, verdict)
                if new is not None and verdict.reason != CANNOT:
                    taking.set_mark(sock, new, mask)
                return verdict
    # Its process has ended, or has closed it.
    return Verdict(Fate.PASS) if verdict.fate is Fate.FOLLOW else verdict


def _since(one: Seen, sock: socket) -> Seen | None:
    """A socket as it is by now, where it is used otherwise than when it was looked at."""
    local, port, remote, listening = taking.use(sock)
    was = one.open
    # What is just being connected has a source address and says that it has no peer.
    connecting = was.kind == "tcp" and port and remote is None and not listening and not one.listed
    unchanged = (local, port, remote, listening) == (was.local, was.local_port, was.remote, was.listening)
    if unchanged and not connecting:
        return None
    entries = tuple(listing().get(one.inode, ()))
    if entries and not entries[0].remote.is_unspecified:
        remote = entries[0].remote
    now = replace(was, local=local, local_port=port, remote=remote, listening=listening)
    return replace(one, open=now, listed=entries or one.listed)


def _ended(one: Seen, verdict: Verdict) -> Verdict:
    """End a socket where that was decided."""
    return Verdict(Fate.LEFT, CANNOT) if verdict.fate is Fate.RESET and not _end(one) else verdict


def _end(one: Seen) -> bool:
    entries = one.listed or listing().get(one.inode, ())  # it may have been connected just now
    return bool(entries) and not [each for each in entries if not sockets.destroy(each)]


def remark(holder: Known, inode: int, mark: int, mask: int) -> bool:
    """Give a socket that this process holds these bits of ours; whether it was there. Raises OSError."""
    with pinned(holder) as pidfd:
        descriptor = held.sockets_of(holder.pid).get(inode)
        if pidfd is None or descriptor is None:
            return False
        with taking.taken(pidfd, descriptor, inode) as sock:
            if sock is not None:
                taking.set_mark(sock, mark, mask)
            return sock is not None
