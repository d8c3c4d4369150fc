"""Look-ups of a routed command leave by its adapter, to its name server, whichever way a program asks."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from procroute.kernel import programs
from procroute.lab import UDP, WAN1, Lab
from procroute.lab.names import WHO
from procroute.lab.topology import PUBLIC_DNS4, PUBLIC_DNS6
from tests.netns.resolving import (
    BY_GLIBC,
    EVERY_WAY,
    LOOKUPS,
    OURS4,
    OURS6,
    SYSTEM4,
    SYSTEM6,
    TO_SYSTEM4,
    TO_SYSTEM6,
    astray,
    look_up,
    running,
    stub_machine,
    wrong,
)
from tests.netns.running import ENVIRONMENT, run_by, unchanged

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@promise("DNS-01", "CLI-12")
def test_every_way_of_asking_goes_to_the_given_servers(lab: Lab) -> None:
    with unchanged(lab):
        answers = look_up(lab, *EVERY_WAY, by=run_by("wan1", "--dns", f"{OURS4},{OURS6}"))
    assert len(answers) == 9
    assert not wrong(answers)
    assert not astray(lab)
    assert {query.client for query in lab.wan1.queries()} == {WAN1.address4, WAN1.address6}
    assert {query.server for query in lab.wan1.queries()} == {OURS4, OURS6}


@promise("DNS-01", "CLI-12")
@pytest.mark.parametrize(
    ("given", "ways", "client"),
    [
        (OURS4, (*TO_SYSTEM4, "connected", SYSTEM6, "tcp", SYSTEM6), WAN1.address4),
        (OURS6, (*TO_SYSTEM6, "mapped", f"::ffff:{SYSTEM4}"), WAN1.address6),
    ],
    ids=["IPv4", "IPv6"],
)
def test_a_server_of_one_family_is_asked_for_both(
    lab: Lab, given: str, ways: tuple[str, ...], client: str
) -> None:
    answers = look_up(lab, *BY_GLIBC, *ways, by=run_by("wan1", "--dns", given))
    assert not wrong(answers)
    assert not astray(lab)
    assert {(query.client, query.server) for query in lab.wan1.queries()} == {(client, given)}


@promise("DNS-01")
@pytest.mark.parametrize(
    ("given", "way"),
    [(OURS4, ("sent", SYSTEM6)), (OURS6, ("sent", SYSTEM4)), (OURS6, ("connected", SYSTEM4))],
)
def test_what_no_server_can_answer_is_refused_and_not_let_out(
    lab: Lab, given: str, way: tuple[str, str]
) -> None:
    (answer,) = look_up(lab, *way, by=run_by("wan1", "--dns", given)).values()
    assert answer["error"] == "ENETUNREACH"
    assert not astray(lab)


@promise("DNS-01")
@pytest.mark.parametrize("options", [(), ("+tcp",)], ids=["UDP", "TCP"])
@pytest.mark.parametrize("given", [OURS4, OURS6], ids=["IPv4", "IPv6"])
def test_dig_asks_the_given_server(lab: Lab, given: str, options: tuple[str, ...]) -> None:
    lab.clear()
    dig = ["dig", "+short", "+tries=1", "+time=2", *options, WHO, "TXT"]
    done = lab.run([*run_by("wan1", "--dns", given), *dig], env=ENVIRONMENT)
    client = WAN1.address4 if given == OURS4 else WAN1.address6
    assert done.stdout == f'"router=wan1 client={client}"\n'
    lab.settle()
    assert not astray(lab)


@promise("DNS-01")
@pytest.mark.parametrize(
    ("given", "system"),
    [
        ("192.0.2.53,192.0.2.54", "203.0.113.53 203.0.113.54"),
        (f"{PUBLIC_DNS6},2001:db8:ffff::54", "fd00::1 fd00::2"),
    ],
    ids=["IPv4", "IPv6"],
)
def test_two_servers_are_told_apart_by_one_socket(given: str, system: str) -> None:
    """Each answer seems to come from the server that was asked."""
    with stub_machine("".join(f"nameserver {server}\n" for server in system.split())) as lab:
        answers = look_up(lab, "two", *system.split(), by=run_by("wan1", "--dns", given))
        assert not wrong(answers)
        assert not astray(lab)
        assert {query.server for query in lab.wan1.queries()} == set(given.split(","))


@promise("DNS-04")
@pytest.mark.parametrize(
    ("server", "client"),
    [(PUBLIC_DNS4, WAN1.address4), (PUBLIC_DNS6, WAN1.address6)],
    ids=["IPv4", "IPv6"],
)
@pytest.mark.parametrize("options", [(), ("+tcp",)], ids=["UDP", "TCP"])
def test_dig_at_a_server_keeps_it(lab: Lab, server: str, client: str, options: tuple[str, ...]) -> None:
    lab.clear()
    dig = ["dig", f"@{server}", "+short", "+tries=1", "+time=2", *options, WHO, "TXT"]
    done = lab.run([*run_by("wan1", "--dns", f"{OURS4},{OURS6}"), *dig], env=ENVIRONMENT)
    assert done.stdout == f'"router=wan1 client={client}"\n'
    lab.settle()
    assert [query.server for query in lab.wan1.queries()] == [server]
    assert not astray(lab)


@promise("DNS-01", "CLI-10")
def test_another_user_looks_up_the_same_way(lab: Lab) -> None:
    with lab.path("/etc/passwd").open("a") as passwd:
        passwd.write("alice:x:4321:4322:Alice:/home/alice:/bin/sh\n")
    getent = [*run_by("wan1", "--dns", OURS4, "--user", "alice"), "getent", "ahostsv4", WHO]
    lab.clear()
    assert lab.run(getent, env=ENVIRONMENT).stdout.startswith("10.99.0.1 ")
    lab.settle()
    assert not astray(lab)


@promise("DNS-05")
def test_bystanders_ask_as_before(lab: Lab) -> None:
    before = look_up(lab, *EVERY_WAY)
    with running(lab, "--dns", OURS4):
        assert look_up(lab, *EVERY_WAY) == before
        assert lab.wan2.packets(port=53, protocol=UDP)
    assert not wrong(before, "wan2")


@promise("NEG-04")
@pytest.mark.parametrize("ways", [TO_SYSTEM4, TO_SYSTEM6], ids=["IPv4", "IPv6"])
def test_without_the_dns_programs_it_would_leave_elsewhere(lab: Lab, ways: tuple[str, ...]) -> None:
    servers = ("--dns", f"{OURS4},{OURS6}")
    assert not wrong(look_up(lab, *ways, by=run_by("wan1", *servers)))
    assert not astray(lab)
    with running(lab, *servers, command=[*LOOKUPS, WHO, *ways]) as process:
        (target,) = lab.path("/sys/fs/cgroup/procroute.slice").glob("*.slice")
        engine = process.command_pid()
        os.kill(engine, signal.SIGSTOP)
        programs.detach(str(target), ("dns",))
        assert process.stdin
        assert process.stdout
        process.stdin.write("go\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(len(ways) // 2)]
        for stopped in (engine, process.pid):  # nsenter(1) stops with its child
            os.kill(stopped, signal.SIGCONT)
    lab.settle()
    assert "wan2" in {answer["router"] for answer in answers}
    assert astray(lab)
