"""How packets of a process go, and why: look at it and at the kernel, ask, and put the answers together.

Nothing is changed and nothing is sent.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from procroute.core.explain import explain as put_together
from procroute.core.explain_case import Answered, Case, Subject
from procroute.core.explain_ways import to_ask, with_mark
from procroute.core.health import AdapterFound
from procroute.core.limits import limits
from procroute.core.machine import Observed
from procroute.core.overview import Servers
from procroute.core.route_get import Question, Reply
from procroute.engine import explain_subject
from procroute.engine.destination import destination_of
from procroute.engine.explain_outer import outers
from procroute.engine.explain_subject import Known
from procroute.engine.kept import of_adapter
from procroute.engine.look import steadily
from procroute.engine.words import describe
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, health_file, netns, rules, unit_cgroups
from procroute.kernel.linux import Linux
from procroute.kernel.route_get import route_get, second_try
from procroute.model import Marks
from procroute.protocol import Explained
from procroute.terminal import printable

_CLOCK: Final = "%Y-%m-%d %H:%M:%S"


def explain(
    linux: Linux,
    pid: int | None,
    unit: str,
    destination: str,
    known: Known = lambda _: None,
) -> Explained:
    """Explain a process, or the first one of a unit, for a destination or (empty) for anywhere.

    known: what a daemon remembers of assignments. Raises ProcrouteError process-unknown, process-unfit,
    unit-unknown, destination-bad, kernel-refused.
    """
    to, ifindex = destination_of(destination)
    place = unit_cgroups.of_unit(linux.mount, unit) if pid is None else None
    of_unit = [] if place is None else _processes(place, unit)
    who = explain_subject.process(pid if pid is not None else of_unit[0])
    observed = steadily(linux.observe)
    title = describe(who.pid)
    if place is not None:
        many = "1 process" if len(of_unit) == 1 else f"{len(of_unit)} processes"
        title += f", the first of {many} of {printable(unit)}"
    subject = steadily(lambda: explain_subject.subject(linux, observed, who, title, known))
    netns_cookie = bool(netns.cookie())
    kept, health = _of_adapter(observed, subject)
    by_packets = any(t.live.marks is Marks.PACKETS for t in subject.targets)
    case = Case(
        linux.identity,
        observed.machine,
        subject,
        tuple(rules.read(linux.netlink, linux.families)),
        (*observed.machine.main, *observed.ours.entries),
        limits(observed.machine, netns_cookie=netns_cookie, by_packets=by_packets),
        belt=bool(observed.ours.fingerprint),
        kept=kept,
        health=health,
        since=time.strftime(_CLOCK, time.localtime(health.since)) if health and health.since else "",
    )
    if subject.elsewhere:
        return put_together(case, [])
    answers = []
    for asked in to_ask(case, to, ifindex):
        question, reply = _answer(linux, asked.question)
        marked = with_mark(case, question, reply)
        then = None if marked is None else (marked, route_get(linux.netlink, marked))
        answers.append(Answered(replace(asked, question=question), reply, then))
    by = (each.marked[1] if each.marked else each.reply for each in answers if each.asked.bound is None)
    below = outers(linux, observed, case, (reply.ifindex for reply in by if not reply.error))
    return put_together(case, answers, below)


def _of_adapter(observed: Observed, subject: Subject) -> tuple[Servers, AdapterFound | None]:
    """The name servers of the adapter that a process leaves by, and what checks have found of it."""
    nearest = subject.nearest
    adapter = None if nearest is None else observed.machine.adapter_of(nearest.live)
    if adapter is None:
        return Servers(), None
    found = (one for one in health_file.read() if one.ifindex == adapter.ifindex)
    return of_adapter(observed.machine, adapter), next(found, None)


def _answer(linux: Linux, question: Question) -> tuple[Question, Reply]:
    """What the kernel answers, and to what: IPv6 may look again, with a source."""
    reply = route_get(linux.netlink, question)
    source = second_try(question) if reply.error else None
    if source is None:
        return question, reply
    again = replace(question, source=source)
    return again, route_get(linux.netlink, again)


def _processes(place: Path, unit: str) -> list[int]:
    """The processes of a unit, by their PIDs; at least one. Raises ProcrouteError unit-unknown."""
    found = sorted(pid for pid, _ in cgroups.processes(place) if pid)
    if not found:
        raise ProcrouteError(
            "unit-unknown", f"no process of {printable(unit)} runs here", "systemctl status says what it does"
        )
    return found
