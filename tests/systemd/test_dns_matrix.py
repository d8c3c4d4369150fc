"""Whose look-ups follow a route, in whichever way a program asks: the table of docs/dns.md, on the wire.

Every machine checks reverse paths strictly (rp_filter 1), and prefers wan2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from procroute.kernel import programs
from tests import dns_matrix
from tests.dns_matrix import ASTRAY, FOLLOWED, NOT_FOLLOWED
from tests.lab.systemd_box import SYSTEMD, SystemdBox
from tests.netns.inhabitants import Inhabitant
from tests.systemd.daemons import daemon, started
from tests.systemd.resolving_verbs import (
    STUB,
    SYSTEM,
    VERBS,
    Machine,
    asked,
    says_not_followed,
    set_up,
    switch_off,
)

promise = pytest.mark.promise
KINDS: Final = ("IPv4", "IPv6", "resolved")
FILE: Final = "/etc/resolv.conf"
GLIBC: Final = [["glibc", "4"], ["glibc", "6"]]
Ways = list[list[str]]


@pytest.fixture(scope="module", params=[(suite, kind) for suite in SYSTEMD for kind in KINDS], ids="-".join)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Debian 12 and 13, with servers of a family in resolv.conf, and with systemd-resolved."""
    suite, kind = request.param
    with SystemdBox(suite, main="both", rp_filter=1) as box:
        set_up(box, kind)
        with daemon(box) as running:
            yield Machine(running, kind)


def rows(kind: str) -> Mapping[str, Ways]:
    """Row -> the ways of asking that belong to it on such a machine."""
    by_file: dict[str, Ways] = {
        "musl, two servers at once": [["musl", FILE]],
        "dig, UDP": [["dig", "udp"]],
        "dig, TCP": [["dig", "tcp"]],
        "Go's own resolver": [["go", FILE]],
    }
    if kind == "resolved":
        stub = [["connected", STUB], ["sent", STUB], ["tcp", STUB], ["mapped", f"::ffff:{STUB}"]]
        return {"nss-resolve": GLIBC, "127.0.0.53": stub} | by_file
    itself = [[way, SYSTEM[kind][0]] for way in ("connected", "sent", "tcp")]
    return {"glibc getaddrinfo": GLIBC} | by_file | {f"an {kind} server": itself}


def wrong(answers: list[dict[str, str]], router: str = "wan1") -> list[str]:
    """Answers that are none, are from another router, or seem to come from somebody who was not asked."""
    found = []
    for answer in answers:
        way, _, server = answer["way"].partition(" ")
        sender = server if way in ("connected", "sent", "tcp", "mapped") else ""
        if (answer["error"], answer["router"], answer["sender"]) != ("", router, sender):
            found.append(f"{answer}")
    return found


def cell(machine: Machine, verb: str, who: Inhabitant, ways: Ways) -> str:
    """What one cell of the table is, and why where it is none of those that are promised."""
    answers, others = asked(machine, who, ways)
    if not others and not wrong(answers):
        return FOLLOWED
    if others and says_not_followed(machine, verb, who):
        return NOT_FOLLOWED
    return f"{ASTRAY}: {others} {wrong(answers)}"


@promise("DNS-09", "DNS-01")
@pytest.mark.parametrize("verb", VERBS)
def test_the_table(machine: Machine, verb: str, request: pytest.FixtureRequest) -> None:
    """Not one question leaves by another adapter, or it is said that look-ups do not follow."""
    page = dns_matrix.read()
    where = f"{machine.box.suite} {machine.kind}"
    found = {}
    with VERBS[verb](machine) as who:
        for row, ways in rows(machine.kind).items():
            found[row] = cell(machine, verb, who, ways)
            dns_matrix.note(request, row, verb, where, found[row])
    wanted = {row: page[row][verb] for row in found}
    if verb != "run" and "nss-resolve" in wanted and not programs.can_close_helpers("/sys/fs/cgroup"):
        wanted["nss-resolve"] = NOT_FOLLOWED
    assert found == wanted


@promise("DNS-05")
def test_a_bystander_asks_by_the_machines_way(machine: Machine) -> None:
    """So each way of asking is seen on the wire, where it leaves by another adapter."""
    with started(machine.box, "--pipe", "--wait", "--collect") as bystander:
        for row, ways in rows(machine.kind).items():
            answers, others = asked(machine, bystander, ways)
            assert not wrong(answers, "wan2"), row
            assert others, row


@promise("NEG-04")
@pytest.mark.parametrize("verb", VERBS)
def test_without_the_programs_it_leaves_elsewhere(machine: Machine, verb: str) -> None:
    """For each verb, on each machine: the servers that the machine has are asked by wan2."""
    server = STUB if machine.kind == "resolved" else SYSTEM[machine.kind][0]
    ways = [["connected", server], ["sent", server], ["tcp", server]]
    with VERBS[verb](machine) as who:
        answers, others = asked(machine, who, ways)
        assert not wrong(answers)
        assert not others
        with machine.running.stopped():
            switch_off(machine, who, "dns", "helpers")
            answers, others = asked(machine, who, ways)
            by_glibc, by_resolved = asked(machine, who, GLIBC)
        assert not wrong(answers, "wan2")
        assert others
        if machine.kind == "resolved" and verb != "run":
            assert not wrong(by_glibc, "wan2")
            assert by_resolved
