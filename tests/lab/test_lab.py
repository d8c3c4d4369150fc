"""The lab itself: what it is made of, what it sees, what can happen in it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from procroute.errors import ProcrouteError
from procroute.lab import TCP, TUN, UDP, VPN, Lab, Query
from procroute.lab.snapshot import changes, snapshot
from procroute.lab.topology import OTHER_SERVER4, OTHER_SERVER6, SERVER4, SERVER6

SERVER = {4: SERVER4, 6: SERVER6}
OTHER = {4: OTHER_SERVER4, 6: OTHER_SERVER6}
GATEWAY1 = {4: "198.51.100.1", 6: "2001:db8:1::1"}
SOURCE1 = {4: "198.51.100.2", 6: "2001:db8:1::2"}
SOURCE2 = {4: "203.0.113.2", 6: "2001:db8:2::2"}
families = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture(scope="module")
def shared() -> Iterator[Lab]:
    with Lab() as lab:
        for family in (4, 6):
            lab.ip(f"-{family} route add {OTHER[family]} via {GATEWAY1[family]} dev wan1")
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Lab:
    shared.clear()
    return shared


def ask(lab: Lab, *questions: str) -> list[dict[str, str]]:
    done = lab.run([sys.executable, "-m", "procroute.lab.client", *questions], check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@families
@pytest.mark.parametrize("how", ["tcp", "udp", "udp-unconnected"])
def test_who_answers_tells_the_uplink(lab: Lab, family: int, how: str) -> None:
    by_default, by_route = ask(lab, how, SERVER[family], how, OTHER[family])
    assert (by_default["router"], by_default["client"]) == ("wan2", SOURCE2[family])
    assert (by_route["router"], by_route["client"]) == ("wan1", SOURCE1[family])
    lab.settle()
    protocol = TCP if how == "tcp" else UDP
    assert lab.wan2.packets(protocol=protocol, destination=SERVER[family], port=7000)
    assert lab.wan1.packets(protocol=protocol, destination=OTHER[family], port=7000)
    assert {p.destination for p in lab.wan1.packets()} == {OTHER[family]}
    assert {p.destination for p in lab.wan2.packets()} == {SERVER[family]}


def test_any_address_of_the_internet_answers(lab: Lab) -> None:
    found = ask(lab, "tcp", "8.8.8.8", "udp", "1.1.1.1", "tcp", "2a00:1450::1", "udp-unconnected", "2606::1")
    assert [answer["router"] for answer in found] == ["wan2"] * 4


@families
def test_routers_answer_ping(lab: Lab, family: int) -> None:
    assert lab.run(["ping", "-c1", "-W2", SERVER[family]]).returncode == 0


def test_the_lan_is_there(lab: Lab) -> None:
    found = ask(lab, "tcp", "192.168.50.1", "tcp", "fd50::1")
    assert [answer["router"] for answer in found] == ["lan", "lan"]


@families
def test_capture_sees_every_packet_once_settled(lab: Lab, family: int) -> None:
    """The last datagram leaves just before the program ends, from every CPU in turn."""
    code = """if True:
        import os, socket, sys
        with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as s:
            for port in range(2000, 4000):
                os.sched_setaffinity(0, {sorted(os.sched_getaffinity(1))[port % os.cpu_count()]})
                s.sendto(b"x" * 1000, (sys.argv[1], port))
    """
    done = lab.python(code.replace("os.cpu_count()", str(len(os.sched_getaffinity(0)))), SERVER[family])
    assert done.returncode == 0, done.stderr
    lab.settle()
    seen = lab.wan2.packets(protocol=UDP, destination=SERVER[family])
    assert [p.destination_port for p in seen if p.destination_port < 2003] == [2000, 2001, 2002]
    assert {p.destination_port for p in seen} == set(range(2000, 4000))
    assert len(seen) == 2000
    assert {p.source for p in seen} == {SOURCE2[family]}


@families
def test_capture_waits_for_a_neighbour_that_is_still_asked_for(lab: Lab, family: int) -> None:
    lab.wan1.forget_neighbours()
    ask(lab, "udp-unconnected", OTHER[family])
    lab.settle()
    assert lab.wan1.packets(protocol=UDP)


def test_capture_says_when_it_missed_something(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red check: a loss that the kernel reports makes the question for packets fail."""
    lost = lab.wan1._channel.call
    monkeypatch.setattr(lab.wan1._channel, "call", lambda op, **a: 3 if op == "lost" else lost(op, **a))
    with pytest.raises(ProcrouteError, match="missed 3 packets"):
        lab.wan1.packets()


def test_capture_counts_what_does_not_fit_its_buffer(lab: Lab) -> None:
    """Red check: the kernel tells of frames that a small buffer could not hold, again and again."""
    code = """if True:
        import socket
        from procroute.lab import capture
        capture._BUFFER = 4096
        small = capture.Capture("lo", "lo")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for _ in range(200):
                s.sendto(b"x" * 1000, ("127.0.0.1", 9))
        seen = sum(p.protocol == 17 for p in small.packets())
        first, second = small.lost(), small.lost()
        print(first == second > 0, seen < 200)
    """
    done = lab.run([sys.executable, "-c", code], cwd=os.getcwd())
    assert done.stdout == "True True\n", done.stderr


def test_capture_tells_first_syns_from_replies(lab: Lab) -> None:
    ask(lab, "tcp", SERVER4)
    lab.settle()
    assert len([p for p in lab.wan2.packets(protocol=TCP) if p.opens]) == 1


def test_settling_fails_when_markers_get_lost(lab: Lab) -> None:
    """Red check: a capture that does not see what was sent is noticed."""
    with pytest.raises(ProcrouteError, match="did not arrive"):
        lab.wan1.wait_for_markers("00" * 16, 1, seconds=0.05)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@families
def test_name_servers_tell_themselves_apart(lab: Lab, transport: str, family: int) -> None:
    flag = ["+tcp"] if transport == "tcp" else ["+notcp"]
    server = {4: "198.51.100.53", 6: "2001:db8:1::53"}[family]
    dig = ["dig", "+short", "+time=2", "+tries=1", *flag, f"@{server}"]
    assert lab.run([*dig, "who.procroute.test", "A"]).stdout == "10.99.0.1\n"
    assert lab.run([*dig, "who.procroute.test", "AAAA"]).stdout == "fd99::1\n"
    assert lab.run([*dig, "any.example", "A"]).stdout == f"{SERVER4}\n"
    assert lab.run([*dig, "any.example", "AAAA"]).stdout == f"{SERVER6}\n"
    assert lab.run([*dig, "any.example", "TXT"]).stdout == f'"router=wan1 client={SOURCE1[family]}"\n'
    assert lab.run([*dig, "any.example", "MX"]).stdout == ""
    assert lab.wan1.queries("any.example") == [
        Query("any.example", kind, SOURCE1[family], transport, server) for kind in ("A", "AAAA", "TXT", "MX")
    ]
    assert not lab.wan2.queries()


def test_the_c_library_asks_the_preferred_uplinks_name_server(lab: Lab) -> None:
    assert [answer["router"] for answer in ask(lab, "name", "name6")] == ["wan2", "wan2"]


@families
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_clients_call_in(lab: Lab, family: int, transport: str) -> None:
    code = """if True:
        import socket, sys
        family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
        if sys.argv[2] == "tcp":
            with socket.create_server((sys.argv[1], 6000), family=family) as server:
                print("listening", flush=True)
                connection, peer = server.accept()
                connection.sendall(f"{peer[0]} said {connection.recv(100).decode()}".encode())
        else:
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                s.bind((sys.argv[1], 6000))
                print("listening", flush=True)
                data, peer = s.recvfrom(100)
                s.sendto(f"{peer[0]} said {data.decode()}".encode(), peer)
    """
    here = SOURCE2[family]
    with lab.popen([sys.executable, "-c", code, here, transport], stdout=subprocess.PIPE) as server:
        assert server.stdout
        assert server.stdout.readline() == "listening\n"
        answer = lab.wan2.dial(SERVER[family], here, 6000, "tcp" if transport == "tcp" else "udp")
        assert (answer.text, answer.sender) == (f"{SERVER[family]} said hello", here)
        assert server.wait(5) == 0
    refused = lab.wan2.dial(SERVER[family], here, 6001)
    assert refused.error == "ECONNREFUSED"


def test_commands_run_inside_and_only_there(lab: Lab) -> None:
    done = lab.run(
        ["sh", "-c", "hostname; id -u; readlink /proc/self/ns/net; grep ^0: /proc/self/cgroup; cat; exit 7"],
        stdin="text",
    )
    host, uid, namespace, cgroup, text = done.stdout.split("\n")
    assert (host, uid, cgroup, text, done.returncode) == ("machine", "0", "0::/session", "text", 7)
    assert namespace != os.readlink("/proc/self/ns/net")
    assert lab.run(["sh", "-c", "kill -9 $$"]).returncode == -9
    assert lab.run(["touch", "/etc/procroute.test"]).returncode == 0
    assert lab.path("/etc/procroute.test").exists()
    assert not os.path.exists("/etc/procroute.test")
    assert lab.run(["sh", "-c", "echo 1 >/proc/sys/kernel/panic"]).returncode != 0


def test_a_timeout_kills_the_whole_session(lab: Lab) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run(["sh", "-c", "sleep 71 & sleep 71"], timeout=0.3)
    assert "sleep 71" not in lab.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").replace("cat", "")


def test_signals_reach_the_command(lab: Lab) -> None:
    code = "import signal; signal.signal(15, lambda *_: exit(5)); print('ready', flush=True); signal.pause()"
    with lab.popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(5) == 5


def test_a_terminal_controls_the_command(lab: Lab) -> None:
    """Ctrl-C typed on it interrupts the foreground job, whose process group exists inside."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "r+b", buffering=0) as terminal:
        command = ["sh", "-c", "test -t 0 && ps -o pid=,pgid=,tpgid= -p $$ && exec sleep 60"]
        with lab.popen(command, stdin=terminal.fileno(), stdout=terminal.fileno(), terminal=True) as process:
            pid, group, foreground = os.read(master, 1000).split()
            assert pid == group == foreground
            os.write(master, b"\x03")
            assert process.wait(5) == -signal.SIGINT
    os.close(master)


@pytest.mark.parametrize(
    ("main", "expected"), [("both", "wan2"), ("wan1", "wan1"), ("wan2", "wan2"), ("none", "")]
)
def test_main_has_the_defaults_asked_for(main: str, expected: str) -> None:
    with Lab(main=main) as lab:  # type: ignore[arg-type]
        found = ask(lab, "tcp", SERVER4, "tcp", SERVER6)
        assert [answer["router"] for answer in found] == [expected] * 2
        assert [answer["error"] for answer in found] == (["ENETUNREACH"] * 2 if main == "none" else ["", ""])


def test_options() -> None:
    with Lab(rp_filter=1, families={"wan2": "4"}, gateway6="link-local", cgroup="hybrid") as lab:
        assert [answer["router"] for answer in ask(lab, "tcp", SERVER4, "tcp", SERVER6)] == ["wan2", "wan1"]
        assert "default via fe80::1 dev wan1" in lab.ip("-6 route show")
        assert set(lab.sh("cat /proc/sys/net/ipv4/conf/*/rp_filter").split()) == {"1"}
        assert lab.sh("stat -fc %T /sys/fs/cgroup /sys/fs/cgroup/unified").split() == ["tmpfs", "cgroup2fs"]


def test_nothing_of_the_host_is_hidden_below_sys(lab: Lab) -> None:
    points = [line.split()[4] for line in lab.sh("grep ' /sys' /proc/self/mountinfo").splitlines()]
    assert {"/sys", "/sys/fs/cgroup"} <= set(points)
    assert len(points) == len(set(points))


def test_without_ipv6() -> None:
    with Lab(ipv6=False) as lab:
        assert [answer["router"] for answer in ask(lab, "tcp", SERVER4, "tcp", SERVER6)] == ["wan2", ""]
        assert lab.ip("-6 address show") == ""


def test_what_happens_to_an_uplink() -> None:
    both = ("tcp", SERVER4, "tcp", SERVER6)
    with Lab(main="wan1") as lab:

        def answers() -> list[str]:
            return [answer["router"] for answer in ask(lab, *both)]

        assert answers() == ["wan1", "wan1"]
        lab.wan1.down()
        assert answers() == ["", ""]
        lab.wan1.restore()
        assert answers() == ["wan1", "wan1"]
        lab.wan1.carrier(False)
        assert answers() == ["", ""]
        lab.wan1.carrier(True)
        assert answers() == ["wan1", "wan1"]
        lab.wan1.drop_address(4)
        assert answers() == ["", "wan1"]
        lab.wan1.restore()
        lab.wan1.drop_address(6)
        assert answers()[0] == "wan1"
        lab.wan1.restore()
        lab.wan1.drop_gateway(6)
        assert answers() == ["wan1", ""]
        lab.wan1.restore()
        assert answers() == ["wan1", "wan1"]
        lab.wan1.silence()
        assert "NO-CARRIER" not in lab.ip("link show wan1")
        begun = time.monotonic()
        assert [answer["error"] for answer in ask(lab, *both)] == ["EHOSTUNREACH"] * 2
        assert time.monotonic() - begun < 4
        lab.wan1.restore()
        assert answers() == ["wan1", "wan1"]


@families
def test_a_tunnel_needs_no_gateway(family: int) -> None:
    with Lab() as lab:
        tunnel = lab.add(TUN, tunnel=True)
        lab.ip(f"-{family} route add {OTHER[family]} dev tun0")
        (answer,) = ask(lab, "tcp", OTHER[family])
        assert (answer["router"], answer["client"]) == ("tun", TUN.address4 if family == 4 else TUN.address6)
        lab.settle()
        assert tunnel.packets(protocol=TCP, destination=OTHER[family])
        assert not lab.wan1.packets()
        assert "POINTOPOINT" in lab.ip("link show tun0")


def test_a_snapshot_sees_what_changed(lab: Lab) -> None:
    before = snapshot(lab)
    ask(lab, "tcp", SERVER4, "udp", SERVER6, "name")
    assert changes(before, snapshot(lab)) == {}
    lab.ip("rule add pref 77 from 192.0.2.9 table 77")
    lab.ip("-6 route add blackhole 2001:db8:9::/48")
    lab.nft("table inet theirs { }\n")
    lab.sysctl("net/ipv4/conf/wan1/rp_filter", "2")
    lab.sh("mkdir /sys/fs/cgroup/theirs; mkdir /run/procroute; seq 9999 >/run/procroute/x")
    program = [sys.executable, "tests/lab/foreign_programs.py", "/sys/fs/cgroup/theirs", "1"]
    lab.run(program, cwd=os.getcwd(), check=True)
    found = changes(before, snapshot(lab))
    assert found["files"][0] == ""
    assert set(found) == {
        "rules4",
        "routes6",
        "nft",
        "sysctl net/ipv4/conf/wan1/rp_filter",
        "cgroups",
        "files",
        "directories",
        "bpf /theirs 1",
    }
    lab.ip("rule del pref 77")
    lab.ip("-6 route del blackhole 2001:db8:9::/48")
    lab.nft("delete table inet theirs\n")
    lab.sysctl("net/ipv4/conf/wan1/rp_filter", "0")
    lab.sh("rmdir /sys/fs/cgroup/theirs; rm -r /run/procroute")
    assert changes(before, snapshot(lab)) == {}


def test_another_adapter_and_its_server(lab: Lab) -> None:
    assert lab.add(VPN).adapter == "vpn0"
    assert [answer["router"] for answer in ask(lab, "tcp", VPN.gateway4, "tcp", VPN.gateway6)] == [
        "vpn",
        "vpn",
    ]
