"""Look-ups of a routed command leave by its adapter, to its name server, whichever way a program asks."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest

from procroute.kernel import programs
from procroute.lab import LAN, UDP, WAN1, WAN2, Lab
from procroute.lab.commands import Process
from procroute.lab.names import WHO
from procroute.lab.patience import FACTOR
from procroute.lab.topology import PUBLIC_DNS4, PUBLIC_DNS6, Families
from tests.netns.running import ENVIRONMENT, procroute, run_by, unchanged, until

promise = pytest.mark.promise
LOOKUPS: Final = [sys.executable, "-S", str(Path(__file__).with_name("lookups.py"))]
# What the machine's resolv.conf names first: both lie on the LAN of wan2.
SYSTEM4, SYSTEM6 = WAN2.dns4, WAN2.dns6
OURS4, OURS6 = WAN1.dns4, WAN1.dns6
BY_GLIBC: Final = ("glibc", "4", "glibc", "6")
TO_SYSTEM4: Final = ("connected", SYSTEM4, "sent", SYSTEM4, "tcp", SYSTEM4, "mapped", f"::ffff:{SYSTEM4}")
TO_SYSTEM6: Final = ("connected", SYSTEM6, "sent", SYSTEM6, "tcp", SYSTEM6)
EVERY_WAY: Final = (*BY_GLIBC, *TO_SYSTEM4, *TO_SYSTEM6)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def look_up(lab: Lab, *ways: str, by: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """What each way of asking gave; by: the words before the program. Captures hold only this."""
    lab.clear()
    done = lab.run([*by, *LOOKUPS, WHO, *ways], env=ENVIRONMENT, check=True)
    lab.settle()
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {answer.pop("way"): answer for answer in answers}


def astray(lab: Lab, adapter: str = "wan1") -> list[str]:
    """Questions that came out anywhere but by `adapter`, on the wire."""
    return [
        f"{name}: {packet}"
        for name, uplink in lab.uplinks.items()
        if name != adapter
        for packet in uplink.packets(port=53)
    ]


def wrong(answers: dict[str, dict[str, str]], router: str = "wan1") -> list[str]:
    """Which answers are not from `router`, or seem to come from somebody who was not asked."""
    found = []
    for way, answer in answers.items():
        kind, _, asked = way.partition(" ")
        sender = "" if kind == "glibc" else asked
        if answer["error"] or answer["router"] != router or answer["sender"] != sender:
            found.append(f"{way}: {answer}")
    return found


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


@contextmanager
def stub_machine(resolv_conf: str = "nameserver 127.0.0.53\noptions edns0 trust-ad\n") -> Iterator[Lab]:
    """A machine like those of systemd-resolved: /etc/resolv.conf is a link to a file that names the stub."""
    with Lab() as lab:
        lab.sh(
            "mkdir -p /run/systemd/resolve; ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf"
        )
        lab.path("/run/systemd/resolve/stub-resolv.conf").write_text(resolv_conf)
        yield lab


@promise("DNS-01")
@pytest.mark.parametrize("given", [OURS4, OURS6], ids=["IPv4", "IPv6"])
def test_the_stub_on_loopback_is_not_asked(given: str) -> None:
    """Somebody answers there, for bystanders."""
    with stub_machine() as lab, answering(lab, "127.0.0.53"):
        with unchanged(lab):
            found = look_up(lab, *BY_GLIBC, "connected", "127.0.0.53", by=run_by("wan1", "--dns", given))
        assert not wrong({way: answer for way, answer in found.items() if "glibc" in way})
        assert not astray(lab)
        assert not asked(lab)
        look_up(lab, "sent", "127.0.0.53")
        until(lambda: asked(lab), what="a question")


_STUB = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("up", flush=True)
while True:
    s.recvfrom(4096)
    open("/tmp/asked", "a").write("x")
"""
_FORWARDER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("up", flush=True)
while True:
    question, client = s.recvfrom(4096)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as up:
        up.sendto(question, (sys.argv[2], 53))
        s.sendto(up.recv(4096), client)
"""
_DAEMON = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
s.listen()
print("up", flush=True)
while True:
    client = s.accept()[0]
    open("/tmp/asked", "a").write("x")
    client.close()
"""


def answering(lab: Lab, where: str) -> AbstractContextManager[None]:
    """A program that takes questions at an address or a Unix socket and notes that it was asked."""
    return _serving(lab, _DAEMON if where.startswith("/") else _STUB, where)


def forwarding(lab: Lab, where: str, server: str) -> AbstractContextManager[None]:
    """A stub that has a name server answer."""
    return _serving(lab, _FORWARDER, where, server)


@contextmanager
def _serving(lab: Lab, code: str, *arguments: str) -> Iterator[None]:
    process = lab.popen([sys.executable, "-S", "-c", code, *arguments], stdout=-1)
    assert process.stdout
    try:
        assert process.stdout.readline() == "up\n"
        yield
    finally:
        process.kill_session()
        process.wait(5)
        process.stdout.close()


def asked(lab: Lab) -> bool:
    """Whether somebody was asked since the last call."""
    note = lab.path("/tmp/asked")
    there = note.exists()
    note.unlink(missing_ok=True)
    return there


@promise("DNS-01")
@pytest.mark.parametrize("socket", ["/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"])
def test_daemons_behind_unix_sockets_are_not_asked(socket: str) -> None:
    """nscd and nss-resolve: a look-up by them would leave as the daemon's own."""
    code = f"import socket; s = socket.socket(1); s.connect({socket!r}); s.recv(1)"
    connect = [sys.executable, "-S", "-c", code]
    with stub_machine(f"nameserver {SYSTEM4}\n") as lab, answering(lab, socket):
        by = run_by("wan1", "--dns", OURS4)
        assert not wrong(look_up(lab, *BY_GLIBC, by=by))
        assert not asked(lab)
        assert "FileNotFoundError" in lab.run([*by, *connect], env=ENVIRONMENT).stderr
        assert not asked(lab)
        # left alone, they are asked, as by a bystander
        assert lab.run([*run_by("wan1", "--dns", "system"), *connect], env=ENVIRONMENT).returncode == 0
        assert asked(lab)
        assert lab.run(connect).returncode == 0
        assert asked(lab)


@promise("DNS-01", "NEG-04")
def test_glibc_would_ask_nscd(lab: Lab) -> None:
    """As a bystander it does: the test above means something."""
    with answering(lab, "/run/nscd/socket"):
        look_up(lab, *BY_GLIBC)
        assert asked(lab)
        assert not wrong(look_up(lab, *BY_GLIBC, by=run_by("wan1", "--dns", OURS4)))
        assert not asked(lab)
    lab.sh("rm -r /run/nscd")


@promise("DNS-03", "CLI-12")
@pytest.mark.parametrize("family", [4, 6])
def test_dns_system_leaves_look_ups_alone(lab: Lab, family: int) -> None:
    answers = look_up(
        lab, *BY_GLIBC, "sent", (SYSTEM4, SYSTEM6)[family == 6], by=run_by("wan1", "--dns", "system")
    )
    assert not wrong(answers, "wan2")
    assert astray(lab)


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
        assert time.monotonic() - began < 2 * FACTOR
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


@promise("DNS-01")
@pytest.mark.parametrize("given", [OURS4, OURS6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("on", ["wan1", "wan2"])
@pytest.mark.parametrize("way", ["connected", "sent"])
def test_a_link_local_resolver_is_not_asked(given: str, on: str, way: str) -> None:
    """By connect() its place is taken by the route's server. A datagram that is sent without one has an
    adapter already, and a family: what does not fit the server is refused and not let out."""
    with Lab(gateway6="link-local") as lab:
        lab.path("/etc/resolv.conf").write_text(f"nameserver fe80::1%{on}\nnameserver {SYSTEM4}\n")
        (answer,) = look_up(lab, way, f"fe80::1%{on}", by=run_by("wan1", "--dns", given)).values()
        fits = way == "connected" or (given == OURS6 and on == "wan1")
        assert (answer["router"], answer["error"]) == (("wan1", "") if fits else ("", "ENETUNREACH"))
        assert not astray(lab)


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


@contextmanager
def running(lab: Lab, *options: str, command: Sequence[str] = ()) -> Iterator[Process]:
    """While a command by wan1 runs; given one, it starts when it is let: write a line on its stdin."""
    waits = ["sh", "-c", 'echo up; read go; exec "$@"', "sh", *(command or ["cat"])]
    process = lab.popen([*run_by("wan1", *options), *waits], env=ENVIRONMENT, stdin=-1, stdout=-1)
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    try:
        yield process
    finally:
        process.stdin.close()
        status = process.wait(10)
        process.stdout.close()
    assert status == 0


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
