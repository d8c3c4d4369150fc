"""Whoever is not routed goes where he went before: by look-up, and by what really leaves."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from procroute.lab import TCP, UDP, Lab
from procroute.lab.topology import PUBLIC_DNS4, PUBLIC_DNS6
from tests.lab import foreign
from tests.netns.inhabitants import Command, Inhabitant, bystander, routed
from tests.netns.traffic import (
    FAMILIES,
    OTHER_SERVER,
    SERVER,
    WAYS,
    astray,
    both_families,
    elsewhere,
    gateway,
    own_address,
)

promise = pytest.mark.promise

FAR = {
    4: [
        SERVER[4],
        OTHER_SERVER[4],
        PUBLIC_DNS4,
        "8.8.8.8",
        "200.1.2.3",
        "10.77.1.1",
        "172.20.1.1",
        "100.64.0.9",
    ],
    6: [SERVER[6], OTHER_SERVER[6], PUBLIC_DNS6, "2620:fe::fe", "3fff::1", "fd77::1", "64:ff9b::808:808"],
}
NEAR = {4: ["127.0.0.1", "224.0.0.251", "255.255.255.255"], 6: ["::1", "ff02::fb%lan0", "ff0e::1"]}
SELECTORS = ["mark 0xca6c", "mark 0x80000", "mark 0x300", "uid 1000", "ipproto udp dport 53"]


def ask_lookups(lab: Lab, family: int) -> str:
    """What the kernel answers to unmarked look-ups: every source (or none) to every destination, and more.

    One line for each that has an answer, and one for each that has none, with the number of the question.
    """
    uplinks = list(lab.uplinks.values())
    own = [own_address(uplink, family) for uplink in uplinks]
    destinations = FAR[family] + NEAR[family] + own + [gateway(uplink, family) for uplink in uplinks]
    questions = [f"{to} from {source}" if source else to for source, to in product(["", *own], destinations)]
    for to in FAR[family][:4]:
        questions += [f"{to} {selector}" for selector in SELECTORS]
        questions += [f"{to} oif {uplink.adapter}" for uplink in uplinks]
        questions += [f"{to} from {own_address(up, family)} oif {up.adapter}" for up in uplinks]
        questions += [f"{to} from {gateway(up, family)} iif {up.adapter}" for up in uplinks]
    lines = "".join(f"route get {question}\n" for question in questions).replace("%lan0", " oif lan0")
    done = lab.run(["ip", f"-{family}", "-force", "-batch", "-"], stdin=lines)
    # from anybody's first ip rule on the kernel keeps table local apart from main, and names it
    return done.stdout.replace(" table local", "") + done.stderr


def changed(before: str, now: str) -> list[str]:
    """The answers that are not the same."""
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), lineterm="", n=0)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def nothing(lab: Lab) -> None:
    """Nobody else's things."""


PLACES: list[tuple[str, Callable[[Lab], object], str]] = [
    ("alone", nothing, "BY-01"),
    ("openvpn", foreign.openvpn, "BY-02"),
    ("wireguard", foreign.wireguard_all_but_lan, "BY-02"),
    ("wg-quick", foreign.wg_quick_rule, "BY-02"),
    ("tailscale", foreign.tailscale, "BY-02"),
    ("source routing", foreign.dhcp_rules, "BY-01"),
    ("mwan3", foreign.mwan3_rules, "BY-01"),
    ("firewalld", foreign.firewalld, "BY-01"),
]


@dataclass(frozen=True)
class Answers:
    """Answers to the look-ups of one family, before, while and after routes were there."""

    before: str
    during: str
    after: str


@contextlib.contextmanager
def routes(lab: Lab) -> Iterator[list[Command]]:
    """Two routes, each with a living command: by one uplink, and a strict one by the other."""
    with routed(lab) as command, routed(lab, "--strict", via="wan2") as strict:
        yield [command, strict]


@pytest.fixture(
    scope="module",
    params=[pytest.param(place, id=f"{place[0]}", marks=promise(place[2])) for place in PLACES],
)
def answers(request: pytest.FixtureRequest) -> dict[int, Answers]:
    """The machine forwards, so that forwarded packets have answers too."""
    _, build, _ = request.param
    with Lab(main="both", rp_filter=2) as lab:
        for sysctl in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
            lab.sysctl(sysctl, "1")
        build(lab)
        before = {family: ask_lookups(lab, family) for family in FAMILIES}
        with routes(lab) as commands:
            for family in FAMILIES:
                assert not astray(lab, commands[0], "tcp", family, lab.wan1)
            during = {family: ask_lookups(lab, family) for family in FAMILIES}
        after = {family: ask_lookups(lab, family) for family in FAMILIES}
    return {family: Answers(before[family], during[family], after[family]) for family in FAMILIES}


@both_families
def test_unmarked_lookups_have_the_same_answers(answers: dict[int, Answers], family: int) -> None:
    found = answers[family]
    assert len(found.before.splitlines()) > 100
    assert not changed(found.before, found.during)
    assert not changed(found.before, found.after)


@promise("NEG-05")
@pytest.mark.parametrize(
    "rule",
    ["pref 4300 table 7301", "pref 4300 from {wan1} table 700000", "pref 4300 to {server} unreachable"],
)
@both_families
def test_a_rule_that_catches_bystanders_shows(bare: Command, family: int, rule: str) -> None:
    lab = bare.lab
    before = ask_lookups(lab, family)
    assert not changed(before, ask_lookups(lab, family))
    index = lab.path("/sys/class/net/wan1/ifindex").read_text().strip()
    words = rule.format(wan1=own_address(lab.wan1, family), server=SERVER[family])
    words = words.replace("700000", str(700000 + int(index)))
    lab.ip(f"-{family} rule add {words} protocol 112")
    try:
        assert changed(before, ask_lookups(lab, family))
    finally:
        lab.ip(f"-{family} rule del pref 4300")
    assert not changed(before, ask_lookups(lab, family))


@pytest.fixture(scope="module")
def bare() -> Iterator[Command]:
    """A command by wan1 on a machine that prefers wan2."""
    with Lab(main="both") as lab, routed(lab) as command:
        yield command


# --- what really leaves

LONG = 0.5
TRIES: list[dict[str, Any]] = [
    {},
    {"source": "{wan1}"},
    {"source": "{wan2}"},
    {"device": "wan1"},
    {"mark": 0x300},
]


def observe(lab: Lab, who: Inhabitant, seconds: float) -> dict[str, object]:
    """Where a bystander comes out, by way, by what he binds to, and to whom. seconds: to wait for answers.

    What still comes in for a socket that is closed by then is answered by the kernel, no longer tied to the
    socket's adapter: that is left out.
    """
    found: dict[str, object] = {}
    for family, (way, protocol), options in product(FAMILIES, (("tcp", TCP), ("unconnected", UDP)), TRIES):
        own = {name: own_address(uplink, family) for name, uplink in lab.uplinks.items()}
        bound = {key: value.format(**own) if key == "source" else value for key, value in options.items()}
        for to in (SERVER[family], gateway(lab.lan, family)):
            lab.clear()
            heard = who.ask(way, to=to, seconds=seconds, **bound)
            lab.settle()
            came_out = {
                f"by {name} from {packet.source}"
                for name, uplink in lab.uplinks.items()
                for packet in uplink.packets(protocol=protocol, destination=to)
                if not packet.of_the_closed
            }
            found[f"{way} {options} {to}"] = (heard.router, heard.client, heard.local, heard.error, came_out)
    return found


def unlike(before: dict[str, object], now: dict[str, object]) -> list[str]:
    """What is not as it was."""
    return [f"{way}: {now[way]}, was {old}" for way, old in before.items() if now[way] != old]


@promise("BY-03")
def test_bystanders_come_out_where_they_did() -> None:
    """With the strict reverse path check, so that our nft table is there as well."""
    with Lab(main="both", rp_filter=1) as lab, bystander(lab) as other:
        before = observe(lab, other, LONG)

        def moved() -> list[str]:
            """An answer may only have been late: so what is unlike is looked at once more, for longer."""
            return unlike(before, observe(lab, other, 0.05)) and unlike(before, observe(lab, other, LONG))

        with routed(lab) as command:
            for family in FAMILIES:
                assert not astray(lab, command, "tcp", family, lab.wan1)
            assert not moved()
        assert not moved()


@promise("BY-03")
def test_what_bystanders_have_open_goes_on() -> None:
    """Opened before any route, used while routes come and go."""
    with Lab(main="both", rp_filter=1) as lab, bystander(lab) as other:
        for family, way in product(FAMILIES, WAYS[:3]):
            assert other.ask(way, to=SERVER[family], keep=f"{way} {family}").router == "wan2"

        def fails() -> list[str]:
            lab.clear()
            failed = []
            for family, way in product(FAMILIES, WAYS[:3]):
                to = SERVER[family] if way == "unconnected" else ""
                if not other.ask("again", name=f"{way} {family}", to=to).said:
                    failed.append(f"{way} {family}")
            return failed + elsewhere(lab, "wan2")

        assert not fails()
        with routed(lab):
            assert not fails()
            with routed(lab, "--strict", via="wan2"):
                assert not fails()
            assert not fails()
        assert not fails()


@promise("BY-03")
def test_bystanders_servers_answer_as_before() -> None:
    with Lab(main="both") as lab, bystander(lab) as other:
        client = {4: "192.0.2.99", 6: "2001:db8:ffff::99"}
        for family in FAMILIES:
            other.ask("serve", transport="tcp", address={4: "0.0.0.0", 6: "::"}[family], port=8080)
            other.ask("serve", transport="udp", address=own_address(lab.wan2, family), port=8080)

        def fails() -> list[str]:
            found = []
            for family in FAMILIES:
                address = own_address(lab.wan2, family)
                for transport in ("tcp", "udp"):
                    answer = lab.wan2.dial(client[family], address, 8080, transport)
                    found += [str(answer)] if answer.sender != address else []
            return found

        assert not fails()
        with routed(lab) as command:
            assert not astray(lab, command, "tcp", 4, lab.wan1)
            assert not fails()
        assert not fails()


@promise("NEG-05")
@both_families
def test_a_rule_that_catches_bystanders_shows_in_their_traffic(bare: Command, family: int) -> None:
    lab = bare.lab
    with bystander(lab) as other:
        assert not astray(lab, other, "tcp", family, lab.wan2)
        lab.ip(f"-{family} rule add pref 4300 table 7301 protocol 112")
        try:
            for way in WAYS:
                assert astray(lab, other, way, family, lab.wan2)
        finally:
            lab.ip(f"-{family} rule del pref 4300")
