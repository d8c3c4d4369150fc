"""The internet sockets that processes hold: judged together, and then touched one by one.

Ends first: a goodbye goes as it would have. Who is touched is pinned, as he was when it was looked at
(engine/open_sockets.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import groupby
from socket import socket

from msgspec.structs import replace

from procroute.core.moving import CANNOT, Fate, Ground, OpenSocket, Verdict, new_mark, twins
from procroute.engine.open_sockets import Seen, listing
from procroute.kernel import held, sockets, taking
from procroute.kernel.pinned import Known, pinned

Judge = Callable[[OpenSocket, Ground], Verdict]
Decided = tuple[Seen, Verdict, int | None]
"""A socket, what becomes of it, and the bits of ours that it is to carry; None: those it has."""
Decide = Callable[[Seen], Decided]


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
    """Do what was decided to the sockets of one process."""
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
