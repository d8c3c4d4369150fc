"""Which name servers a routed command asks: given ones, those of its adapter, or none."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from procroute.lab import LAN, WAN1, WAN2, Lab
from procroute.lab.names import WHO
from procroute.lab.patience import FACTOR
from procroute.lab.topology import Families
from tests.netns.resolving import (
    BY_GLIBC,
    LOOKUPS,
    OURS4,
    OURS6,
    SYSTEM4,
    SYSTEM6,
    TO_SYSTEM4,
    astray,
    forwarding,
    look_up,
    running,
    stub_machine,
    wrong,
)
from tests.netns.running import ENVIRONMENT, procroute, run_by, unchanged

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@promise("DNS-02")
def test_without_a_given_one_it_is_the_systems_behind_the_adapter(lab: Lab) -> None:
    """resolv.conf names wan2's two and wan1's IPv4 one: that one is left."""
    assert not wrong(look_up(lab, *BY_GLIBC, *TO_SYSTEM4, by=run_by("wan1")))
    assert {query.server for query in lab.wan1.queries()} == {OURS4}
    assert not astray(lab)


@promise("DNS-02")
@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["", "strict"])
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("/run/systemd/netif/links/{}", "ADMIN_STATE=configured\nDNS={} {}\nDOMAINS=\n"),
        ("/run/systemd/resolve/netif/{}", "LLMNR=yes\nSERVERS={}:53#name [{}]:53\n"),
    ],
    ids=["networkd", "resolved"],
)
def test_the_adapters_own_servers_are_known_from_systemd(
    file: str, text: str, options: tuple[str, ...]
) -> None:
    with stub_machine() as lab:
        ifindex = lab.path("/sys/class/net/wan1/ifindex").read_text().strip()
        known = lab.path(file.format(ifindex))
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(text.format(OURS4, OURS6))
        ways = ("connected", "127.0.0.53", "sent", "127.0.0.53", "tcp", "127.0.0.53")
        assert not wrong(look_up(lab, *BY_GLIBC, *ways, by=run_by("wan1", *options)))
        assert not astray(lab)
        assert lab.wan1.queries()


@promise("DNS-06", "DNS-03", "ERR-08", "LAN-06")
@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["", "strict"])
@pytest.mark.parametrize(
    "system",
    [f"{SYSTEM4}, {SYSTEM6}", "127.0.0.53", "fe80::1%wan2"],
    ids=["another's LAN", "stub", "another's link"],
)
def test_where_look_ups_would_leave_past_the_adapter_they_fail(options: tuple[str, ...], system: str) -> None:
    """Asked all the same, they do leave by another, unless the guard of a strict route is there."""
    servers = "".join(f"nameserver {server}\n" for server in system.split(", "))
    local = ("connected", "127.0.0.53", "tcp", "127.0.0.1", "sent", "::1")
    with stub_machine(servers) as lab, unchanged(lab), forwarding(lab, "127.0.0.53", SYSTEM4):
        done = procroute(lab, "run", "--via", "wan1", *options, "--", "true")
        assert (done.returncode, done.stdout) == (0, "")
        why, what = done.stderr.splitlines()
        away = options and system != "127.0.0.53"
        happens = "cannot be reached with --strict" if away else "would be asked past it"
        says = f"no name server is known for wan1; the system's ({system}) {happens}"
        assert why == f"procroute: {says}"
        assert "--dns ADDRESS" in what
        assert "--dns system" in what
        asked = (*local, *(word for server in system.split(", ") for word in ("sent", server)))
        began = time.monotonic()
        answers = look_up(lab, *BY_GLIBC, *asked, by=run_by("wan1", *options))
        assert time.monotonic() - began < 4 * FACTOR  # a look-up that nobody answers takes 5
        by_glibc = {way for way in answers if way.startswith("glibc")}
        assert {answers[way]["error"] for way in answers.keys() - by_glibc} == {"ENETUNREACH"}
        assert {answers[way]["error"] for way in by_glibc} == {f"EAI {socket.EAI_AGAIN}"}
        assert not astray(lab)
        look_up(lab, "glibc", "4", by=run_by("wan1", *options, "--dns", "system"))
        assert bool(astray(lab)) is (not options or system == "127.0.0.53")
        assert not wrong(look_up(lab, *BY_GLIBC, by=run_by("wan1", *options, "--dns", OURS4)))
        assert not astray(lab)


@promise("DNS-06", "LAN-06")
@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["", "strict"])
def test_link_local_servers_on_the_adapter_are_asked_there(options: tuple[str, ...]) -> None:
    with Lab(gateway6="link-local") as lab, unchanged(lab):
        lab.path("/etc/resolv.conf").write_text("nameserver fe80::1%wan1\n")
        assert not wrong(look_up(lab, *BY_GLIBC, by=run_by("wan1", *options)))
        assert not astray(lab)
        done = procroute(lab, "run", "--via", "wan1", *options, "--", "true")
        says = "only link-local name servers are known for wan1: look-ups go to fe80::1%wan1 alone"
        assert (done.returncode, done.stderr) == (0, f"procroute: {says}\n")


@promise("DNS-02", "DNS-03", "DNS-01")
def test_a_run_inside_a_run_knows_the_systems_servers() -> None:
    """And not those of the run around it, which lie behind another adapter."""
    with Lab() as lab, unchanged(lab):
        system = lab.path("/etc/resolv.conf").read_text()
        outer = run_by("wan1", "--dns", OURS4)
        inner = run_by("wan2")
        assert not wrong(look_up(lab, *BY_GLIBC, *TO_SYSTEM4, by=[*outer, *inner]), "wan2")
        assert not astray(lab, "wan2")
        assert {query.server for query in lab.wan2.queries()} <= {SYSTEM4, SYSTEM6}
        third = lab.run([*outer, *inner, *run_by("wan1"), *LOOKUPS, WHO, *BY_GLIBC], env=ENVIRONMENT)
        assert [json.loads(line)["router"] for line in third.stdout.splitlines()] == ["wan1", "wan1"]
        alone = run_by("wan2", "--dns", "system")
        left = lab.run([*outer, *alone, "cat", "/etc/resolv.conf"], env=ENVIRONMENT)
        assert left.stdout == system
        with running(lab, "--dns", OURS4, command=[*inner, *LOOKUPS, WHO, *BY_GLIBC]):
            assert not wrong(look_up(lab, *BY_GLIBC, *TO_SYSTEM4, by=run_by("wan1", "--dns", OURS4)))


@promise("DNS-01", "DNS-06")
@pytest.mark.parametrize("make", ["rm /etc/resolv.conf", ": > /etc/resolv.conf"], ids=["none", "empty"])
def test_a_machine_without_name_servers(make: str) -> None:
    """glibc then asks 127.0.0.1; nobody has configured that, so it is not named."""
    with Lab() as lab:
        lab.sh(make)
        with unchanged(lab):
            done = procroute(lab, "run", "--via", "wan1", "--", "true")
            why, what = done.stderr.splitlines()
            says = "no name server is known for wan1, nor any configured on this machine"
            assert (done.returncode, why) == (0, f"procroute: {says}")
            assert "127.0.0.1" not in what
            refused = look_up(lab, *BY_GLIBC, "sent", "127.0.0.1", by=run_by("wan1"))
            assert {answer["error"] for answer in refused.values()} == {
                f"EAI {socket.EAI_AGAIN}",
                "ENETUNREACH",
            }
            assert not wrong(look_up(lab, *BY_GLIBC, by=run_by("wan1", "--dns", OURS4)))
            assert not astray(lab)


@promise("DNS-01", "CLI-12")
@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["", "strict"])
@pytest.mark.parametrize("given", ["127.0.0.1", WAN1.address4, WAN2.address4])
def test_a_given_server_that_is_this_machine_asks_on_its_own_route(
    options: tuple[str, ...], given: str
) -> None:
    with stub_machine() as lab, unchanged(lab), forwarding(lab, given, SYSTEM4):
        by = run_by("wan1", "--dns", given, *options)
        done = lab.run([*by, "true"], env=ENVIRONMENT)
        says = f"name server {given} is this machine, which looks up on its own route"
        assert (done.returncode, done.stderr) == (0, f"procroute: {says}\n")
        answers = look_up(lab, "glibc", "4", "sent", "127.0.0.53", by=by)
        assert not wrong(answers, "wan2")
        assert astray(lab)


@promise("DNS-01", "CLI-12")
@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["", "strict"])
@pytest.mark.parametrize("given", [LAN.dns4, LAN.dns6], ids=["IPv4", "IPv6"])
def test_a_given_server_on_anothers_lan_is_asked_through_the_adapter(
    lab: Lab, options: tuple[str, ...], given: str
) -> None:
    by = run_by("wan1", "--dns", given, *options)
    done = lab.run([*by, "true"], env=ENVIRONMENT)
    says = f"name server {given} is on the LAN of lan0; asked through wan1 it may not answer"
    assert (done.returncode, done.stderr) == (0, f"procroute: {says}\n")
    look_up(lab, "glibc", "4", by=by)
    assert not astray(lab)
    assert lab.wan1.packets(port=53)


@promise("CLI-12", "ERR-08")
@pytest.mark.parametrize(
    ("families", "useless", "useful", "lacks"),
    [("4", OURS6, OURS4, "IPv6"), ("6", OURS4, OURS6, "IPv4")],
    ids=["without IPv6", "without IPv4"],
)
def test_given_servers_of_a_family_that_the_adapter_lacks(
    families: Families, useless: str, useful: str, lacks: str
) -> None:
    with Lab(families={"wan1": families}) as lab, unchanged(lab):
        done = procroute(lab, "run", "--via", "wan1", "--dns", useless, "--", "echo", "it ran")
        assert (done.returncode, done.stdout) == (125, "")
        *_, why, hint = done.stderr.splitlines()
        assert why == f"procroute: name server {useless} is of no use: wan1 has no {lacks} address"
        assert hint == f"  hint: give an IPv{families} one, or --dns system"
        by = run_by("wan1", "--dns", f"{useless},{useful}")
        done = lab.run([*by, "true"], env=ENVIRONMENT)
        assert done.returncode == 0
        assert f"name server {useless} is of no use now: wan1 has no {lacks} address" in done.stderr
        assert not wrong(look_up(lab, "glibc", families, by=by))
        assert not astray(lab)
