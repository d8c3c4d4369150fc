"""From what a process is to questions, and from the kernel's answers to where its packets go."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from ipaddress import ip_address

from msgspec import Struct
from msgspec.structs import replace

from procroute.core.explain_case import Answered, Asked, Case
from procroute.core.guard import Verdict, verdict
from procroute.core.route_get import Question, Reply
from procroute.core.rule_path import Met, Outcome, rule_path
from procroute.core.tables import families
from procroute.model import Family, IPAddress, Marks
from procroute.protocol import Way

THE_WORLD = {Family.IPV4: ip_address("192.0.2.1"), Family.IPV6: ip_address("2001:db8::1")}
"""Addresses for documentation (RFC 5737, RFC 3849): nobody has them, and what leads there is a default."""


class Told(Struct, frozen=True):
    """A way, and what shows that it is so. verdict: the guard's, None: there is none, or nothing to judge."""

    way: Way
    question: Question
    asked: Asked
    path: tuple[Met, ...]
    reply: Reply
    verdict: Verdict | None = None

    @property
    def bound(self) -> IPAddress | None:
        """The address that the socket is bound to."""
        return self.asked.bound


def to_ask(case: Case, destination: IPAddress | None, ifindex: int = 0) -> list[Asked]:
    """What to ask: for sockets that are bound to nothing, for each address of the machine, for look-ups.

    destination: None for anywhere. ifindex: of the zone of a link-local one.
    """
    asked = []
    for family in families(case.machine):
        to = THE_WORLD[family] if destination is None else destination
        if Family.of(to) is family:
            asked += [_asked(case, to, bound, ifindex) for bound in (None, *_addresses(case, family))]
            servers = (s for s in _servers(case) if Family.of(s) is family)
            asked += [replace(_asked(case, server, None, 0), looks_up=True) for server in servers]
    return asked


def _servers(case: Case) -> Iterator[IPAddress]:
    """The name servers that it asks, but for those whose zone is a matter of their own."""
    nearest = case.subject.nearest
    followed = nearest is not None and not nearest.owner and (nearest.live.servers or nearest.live.no_lookups)
    servers = nearest.live.servers if nearest is not None and followed else case.machine.resolvers
    return (server for server in servers if not server.is_link_local)


def _addresses(case: Case, family: Family) -> Iterator[IPAddress]:
    for adapter in case.machine.outward():
        yield from adapter.usable(family)


def _asked(case: Case, to: IPAddress, bound: IPAddress | None, ifindex: int) -> Asked:
    mark = case.socket_mark
    if bound is not None and mark and _ties(case):
        mark |= case.identity.bound
    return Asked(Question(to, bound, mark, case.subject.uid, ifindex), bound)


def with_mark(case: Case, question: Question, reply: Reply) -> Question | None:
    """What to ask once nft has marked a packet, that had this way before; None where it does not.

    Only what is steered gets another source; the belt leaves it (netfilter, ip_route_me_harder).
    """
    if not case.by_packets or reply.error or reply.kind == "local":
        return None
    source = None if case.steered else question.source or reply.source
    return replace(question, source=source, mark=case.packet_mark)


def _ties(case: Case) -> bool:
    """Whether sockets that are bound to an address get the bound bit."""
    return any("bound" in target.kinds for target in case.subject.targets)


def told(case: Case, answered: Answered) -> Told:
    """Where a packet goes, by the kernel's answer and the guard's verdict."""
    question, reply = answered.marked or (answered.asked.question, answered.reply)
    path = rule_path(case.rules, case.entries, question, reply, case.identity.protocol)
    way = _way(case, question, answered.asked.bound, path, reply)
    source = question.source or reply.source
    if way.outcome != "leaves" or source is None:
        return Told(way, question, answered.asked, path, reply)
    judged = _judged(case, reply.ifindex, source, question.destination)
    if judged is not None and not judged.passes:
        way = replace(way, outcome="dropped")
    return Told(way, question, answered.asked, path, reply, judged)


def _way(case: Case, question: Question, bound: IPAddress | None, path: tuple[Met, ...], reply: Reply) -> Way:
    """As the kernel answers, before the guard."""
    way = Way(
        "ipv4" if question.family is Family.IPV4 else "ipv6",
        str(question.destination),
        "unreachable" if reply.error else "local" if reply.kind == "local" else "leaves",
        bound=str(bound or ""),
        preference=path[-1].rule.preference if path and path[-1].outcome is Outcome.DECIDES else None,
    )
    if reply.error:
        return replace(way, error=errno.errorcode.get(reply.error, str(reply.error)))
    return replace(
        way,
        adapter=case.name(reply.ifindex),
        gateway=str(reply.gateway or ""),
        source=str(question.source or reply.source or ""),
        table=reply.table,
    )


def _judged(case: Case, ifindex: int, source: IPAddress, destination: IPAddress) -> Verdict | None:
    """The verdict of the guards of all targets that it is in; the first that drops decides."""
    found = None
    for target in case.subject.targets:
        by_nft = target.live.marks is Marks.PACKETS
        if target.door is None or not (by_nft or "guard" in target.kinds):
            continue
        found = verdict(
            target.door,
            strict=target.live.route.strict,
            ifindex=ifindex,
            source=source,
            destination=destination,
        )
        if not found.passes:
            return found
    return found
