"""What an explanation says of facts that labs hardly have; what the verb takes; how it is written."""

from __future__ import annotations

import errno
import json
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest

from procroute import protocol
from procroute.cli import explanation
from procroute.cli.explain import subject as named
from procroute.core.desired import door
from procroute.core.door import Marking
from procroute.core.explain import explain
from procroute.core.explain_case import Answered, Attachment, Case, OpenSockets, Subject
from procroute.core.explain_outer import Outer
from procroute.core.explain_ways import to_ask, with_mark
from procroute.core.limits import limits
from procroute.core.machine import Machine
from procroute.core.route_get import Question, Reply
from procroute.engine import explain_subject
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.process_facts import Facts
from procroute.model import Family, LiveRoute, Marks, Route, Rule
from tests.plans import words

promise = pytest.mark.promise
IDENTITY = Identity()
KINDS = frozenset({"mark", "bound", "listen", "guard", "replies", "attempt", "dns"})
RULES = [Rule(f, 0, "table", 255) for f in Family]
OUT = Reply(kind="unicast", ifindex=3, gateway=ip_address("198.51.100.1"), source=ip_address("198.51.100.2"))


def machine(**settings: Any) -> Machine:
    """wan1 and wan2 with IPv4."""
    wan1 = words.adapter("wan1", 3, "198.51.100.2/24")
    wan2 = words.adapter("wan2", 4, "203.0.113.2/24")
    main = ["0.0.0.0/0 via 203.0.113.1 dev wan2", "0.0.0.0/0 via 198.51.100.1 dev wan1 metric 9"]
    return words.machine(wan1, wan2, main=main, **settings)


def attached(live: LiveRoute, of: Machine, kinds: frozenset[str] = KINDS) -> Attachment:
    """A target with its programs."""
    marking = Marking(IDENTITY.mark(live.number), IDENTITY.mark_mask, IDENTITY.bound, live.route.strict)
    return Attachment(live, f"/{live.route.name}", True, marking, door(of, live), kinds)


def case(*targets: Attachment, of: Machine | None = None, **subject: Any) -> Case:
    """A process in these targets, the nearest first."""
    found = of or machine()
    who = Subject("cat (pid 7)", "/x", 1000, targets, "by hand", **subject)
    return Case(IDENTITY, found, who, RULES, found.main, limits(found, netns_cookie=True))


def explained(of: Case, reply: Reply) -> protocol.Explained:
    """With one answer to everything that is asked."""
    return explain(of, [Answered(asked, reply) for asked in to_ask(of, None)])


def ids(found: protocol.Explained) -> set[str]:
    """Of its caveats."""
    return {c.id for c in found.caveats}


LIVE = LiveRoute(Route("wan1"), 1)


@promise("EXPLAIN-02")
def test_sockets_are_asked_for_by_their_mark_and_with_the_bound_bit() -> None:
    asked = [a.question for a in to_ask(case(attached(LIVE, machine())), ip_address("192.0.2.9"))]
    assert {(str(q.source), hex(q.mark)) for q in asked} == {
        ("None", "0x2000000"),
        ("198.51.100.2", "0x3000000"),
        ("203.0.113.2", "0x3000000"),
    }
    assert {q.uid for q in asked} == {1000}
    assert {str(q.destination) for q in asked} == {"192.0.2.9"}


@promise("EXPLAIN-02")
def test_the_nearest_target_marks_and_every_guard_holds() -> None:
    other = LiveRoute(Route("wan2"), 2)
    within = case(attached(LIVE, machine()), attached(other, machine()))
    found = explained(within, OUT)
    assert (found.route, found.mark) == ("wan1", 0x0200_0000)
    assert {w.outcome for w in found.ways if w.family == "ipv4"} == {"dropped"}
    assert "outer" in {f.id for f in found.findings}
    alone = explained(case(attached(LIVE, machine())), OUT)
    assert alone.ways[0].outcome == "leaves"


@promise("EXPLAIN-02")
def test_what_nft_marks_is_asked_for_twice() -> None:
    steered = case(Attachment(LiveRoute(Route("wan1"), 1, marks=Marks.PACKETS), "/wan1", True, None, None))
    first = Question(ip_address("192.0.2.9"), None, 0, 1000)
    reply = Reply(kind="unicast", ifindex=4, source=ip_address("203.0.113.2"), table=254)
    assert with_mark(steered, first, reply) == Question(first.destination, None, 0x0200_0000, 1000)
    assert with_mark(steered, first, Reply(error=errno.ENETUNREACH)) is None
    assert with_mark(case(attached(LIVE, machine())), first, reply) is None
    both = LiveRoute(Route("wan1"), 1, marks=Marks.BOTH)
    belted = msgspec.structs.replace(case(attached(both, machine(), frozenset({"guard"}))), belt=True)
    marked = with_mark(belted, first, reply)
    assert marked == Question(first.destination, ip_address("203.0.113.2"), 0x0200_0000, 1000)


@promise("EXPLAIN-03")
@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"adapters": ()}, "the adapter wan1 is not there"),
        ({"main": ()}, "wan1 has no IPv4 gateway"),
        (
            {"failed_gateways": frozenset({(3, ip_address("198.51.100.1"))})},
            "the gateway 198.51.100.1 of wan1 does not answer",
        ),
        ({}, "the table procroute-wan1 (7301) has no way there now"),
    ],
)
def test_why_there_is_no_way(change: dict[str, Any], because: str) -> None:
    found = msgspec.structs.replace(machine(), **change)
    said = explained(case(attached(LIVE, machine()), of=found), Reply(error=errno.ENETUNREACH))
    assert f"because {because}" in said.families["ipv4"]
    assert (said.ways[0].outcome, said.ways[0].error) == ("unreachable", "ENETUNREACH")
    assert (said.ways[0].adapter, said.ways[0].source) == ("", "")


@promise("EXPLAIN-03")
def test_a_kernel_without_ipv6_has_one_family() -> None:
    found = explained(case(attached(LIVE, machine()), of=machine(ipv6=False)), OUT)
    assert set(found.families) == {"ipv4"}


@promise("EXPLAIN-03")
def test_sockets_of_another_route_are_named_by_it() -> None:
    sockets = OpenSockets(on_route=2, older=2, other_marks={0x0400_0000: 1}, tied={3: 1})
    found = explained(case(attached(LIVE, machine()), sockets=sockets), OUT)
    said = {c.id: c.text for c in found.caveats}
    assert "(route 2)" in said["marks"]
    assert said["older-sockets"].startswith("2 of its sockets carry no mark")
    assert "tied" not in said  # to the route's own adapter


@promise("EXPLAIN-03")
def test_root_can_leave() -> None:
    one = case(attached(LIVE, machine()))
    assert "root" not in ids(explained(one, OUT))
    root = msgspec.structs.replace(one, subject=msgspec.structs.replace(one.subject, uid=0))
    assert "root" in ids(explained(root, OUT))


@promise("EXPLAIN-04")
def test_a_thread_of_the_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kthread = Facts(2, "kthreadd", (0, 0, 0), 1, 0, True)
    monkeypatch.setattr("procroute.kernel.process_facts.facts", lambda _: kthread)
    with pytest.raises(ProcrouteError, match=r"kthreadd .pid 2. is a thread of the kernel") as refused:
        explain_subject.process(2)
    assert refused.value.code == "process-unfit"
    assert refused.value.hint


@promise("EXPLAIN-04")
def test_digits_are_a_pid_and_all_else_a_unit() -> None:
    assert named("4711") == (4711, "")
    assert named("nginx") == (None, "nginx")
    assert named("4711.scope") == (None, "4711.scope")
    for word in ("0", "4194305", "9" * 5000, ""):
        with pytest.raises(ProcrouteError):
            named(word)


@promise("EXPLAIN-02")
def test_a_line_that_is_too_long_goes_on_further_in() -> None:
    words = " ".join(["word"] * 60)
    found = protocol.Explained(subject="a", findings=[protocol.Finding("cgroup", words)])
    first, *rest = explanation.as_text(found, 80).splitlines()[1:]
    assert first.startswith("  word")
    assert all(line.startswith("    word") and len(line) <= 80 for line in rest)
    assert len(rest) > 2
    assert explanation.as_text(found, 0).splitlines()[1:] == [f"  {words}"], "in a pipe nothing wraps"


@promise("EXPLAIN-02")
def test_names_cannot_steer_the_terminal_and_json_has_every_key() -> None:
    way = protocol.Way("ipv4", "192.0.2.1", "unreachable", error="ENETUNREACH")
    found = protocol.Explained(
        subject="a\x1b[31m (pid 7)", families={"ipv4": ["b\x1b[2J"]}, ways=[way], caveats=[]
    )
    assert "\x1b" not in explanation.as_text(found, 0)
    plain = json.loads(explanation.as_json(found))
    assert plain["ways"][0] == {
        "family": "ipv4",
        "destination": "192.0.2.1",
        "bound": None,
        "outcome": "unreachable",
        "adapter": None,
        "gateway": None,
        "source": None,
        "preference": None,
        "table": None,
        "error": "ENETUNREACH",
    }
    sent = protocol.frame(found)[protocol.LENGTH.size :]
    assert protocol.read_reply(sent) == found


TUN = words.adapter("tun0", 9, "10.8.0.2/24", tunnel=True)
WG = words.adapter("wg0", 10, "10.9.0.2/24", tunnel=True)


@promise("OVER-09")
@pytest.mark.parametrize(
    ("outer", "said"),
    [
        (Outer(9, LIVE, "openvpn (pid 7)"), "by wan1 (over wan1, mark 0x2000000, table 7301)"),
        (Outer(10, LIVE, port=51820), "by wan1 (over wan1, known by UDP port 51820, table 7301)"),
        (Outer(10, port=51820), "by the machine's own way"),
        (
            Outer(10, LiveRoute(Route("wan9"), 2), port=5),
            "nowhere: wan9 is not there (over wan9, known by UDP port 5, table 7302)",
        ),
    ],
)
def test_what_is_below_a_tunnel(outer: Outer, said: str) -> None:
    who = outer.who or "the kernel's WireGuard"
    name = "tun0" if outer.ifindex == 9 else "wg0"
    said = f"{name} is a tunnel, whose outer packets are sent by {who}: {said}"
    before = machine()
    of = case(of=msgspec.structs.replace(before, adapters=(*before.adapters, TUN, WG)))
    found = explain(of, [Answered(asked, OUT) for asked in to_ask(of, None)], [outer])
    assert [f.text for f in found.findings if f.id == "tunnel"] == [said]
    assert not [f for f in explain(of, []).findings if f.id == "tunnel"]
