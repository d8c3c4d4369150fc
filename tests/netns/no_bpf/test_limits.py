"""Without cgroup BPF nft does it; what it cannot promise is a fixed list, and each point of it is seen here.

What it does promise is tested by test_kept.py, and by the modules beside it that run again so.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Final

import pytest

from procroute.core.choose import check_without_bpf
from procroute.core.limits import WITHOUT_BPF
from procroute.errors import ProcrouteError
from procroute.lab import TCP, Lab
from procroute.model import Adapter
from tests.netns.daemons import ALICE, daemon, placed
from tests.netns.inhabitants import Command, bystander, routed
from tests.netns.no_bpf.conftest import BUT
from tests.netns.resolving import BY_GLIBC, look_up
from tests.netns.running import ENVIRONMENT, procroute, run_by, unchanged, until
from tests.netns.test_blips import options
from tests.netns.test_dns_sources import NEW, OLD, asked_by_glibc, kept, tell
from tests.netns.traffic import SERVER, astray, both_families, elsewhere, own_address
from tests.netns.uplinks import three, until_by
from tests.netns.watching import watcher

promise = pytest.mark.promise
_SHOWN: Final[set[str]] = {"no-bpf-leaving"}
"""By tests/netns/test_leaving.py, ESC-03."""


def shows(limit: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """This test shows that a limit is one."""
    _SHOWN.add(limit)
    return promise("NOBPF-01")


@promise("NOBPF-01")
def test_the_list_is_shown_whole_here_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(WITHOUT_BPF) == _SHOWN
    with Lab() as lab:
        told = json.loads(procroute(lab, "status", "--json").stdout)["limits"]
        assert {limit["id"] for limit in told if limit["id"].startswith("no-bpf")} == _SHOWN
        monkeypatch.delenv("PROCROUTE_NO_BPF")
        told = json.loads(procroute(lab, "status", "--json").stdout)["limits"]
        assert not {limit["id"] for limit in told if limit["id"].startswith("no-bpf")}


# BPF_PROG_QUERY, and attaching, on a kernel without CONFIG_CGROUP_BPF (bpf(2))
_KERNEL_WITHOUT = """
import errno, sys
from procroute.kernel import libbpf
def refuse(*_):
    raise OSError(errno.EINVAL, "Invalid argument")
libbpf.query = libbpf.attach = refuse
from procroute.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@promise("NOBPF-01")
def test_a_kernel_that_has_none_is_noticed_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROCROUTE_NO_BPF")
    request = {"how": "tcp", "to": SERVER[4]}
    ask = f"from tests.netns.probe import answer; print(answer({request})['router'])"
    with Lab(main="both") as lab, unchanged(lab):
        words = [
            sys.executable,
            "-c",
            _KERNEL_WITHOUT,
            "run",
            "--via",
            "wan1",
            "--",
            sys.executable,
            "-c",
            ask,
        ]
        done = lab.run(words, env=ENVIRONMENT)
        assert (done.returncode, done.stdout) == (0, "wan1\n"), done.stderr
        assert "without cgroup BPF nft marks packets: procroute status lists" in done.stderr


@shows("no-bpf-source")
@both_families
def test_getsockname_tells_what_main_chose(command: Command, family: int) -> None:
    heard = command.ask("tcp", to=SERVER[family])
    assert heard.client == own_address(command.lab.wan1, family)
    assert heard.local == own_address(command.lab.wan2, family)


@shows("no-bpf-main")
@both_families
def test_without_a_default_in_main_there_is_no_way(family: int) -> None:
    with Lab(main="none") as lab, routed(lab, *options(lab)) as command:
        assert command.ask("tcp", to=SERVER[family]).error == "ENETUNREACH"
        assert not elsewhere(lab)


@shows("no-bpf-tied")
@both_families
@pytest.mark.parametrize("way", ["tcp", "udp"])
def test_from_anothers_address_it_leaves_by_the_own(command: Command, family: int, way: str) -> None:
    command.lab.clear()
    source = own_address(command.lab.wan2, family)
    heard = command.ask(way, to=SERVER[family], source=source)
    assert (heard.router, heard.client) == ("wan1", own_address(command.lab.wan1, family))
    assert command.ask(way, to=SERVER[family], device="wan2", seconds=0.3).error
    assert not elsewhere(command.lab, "wan1")


@shows("no-bpf-tunnels")
def test_a_tunnel_of_the_kernels_is_refused() -> None:
    with pytest.raises(ProcrouteError) as caught:
        check_without_bpf(Adapter("wg0", 7, kind="wireguard"))
    assert caught.value.code == "adapter-unfit"
    check_without_bpf(Adapter("tun0", 7, kind="tun"))


@shows("no-bpf-resolvers")
def test_a_stub_is_refused_and_resolv_conf_is_not() -> None:
    with Lab() as lab:
        lab.path("/etc/resolv.conf").write_text("nameserver 127.0.0.53\n")
        by = run_by("wan1", "--dns", lab.wan1.wire.dns4)
        asked = look_up(lab, *BY_GLIBC, "sent", "127.0.0.53", "tcp", "127.0.0.53", by=by)
        assert {a["router"] for name, a in asked.items() if name.startswith("glibc")} == {"wan1"}
        errors = {a["error"] for name, a in asked.items() if not name.startswith("glibc")}
        assert errors == {"EPERM", "ECONNREFUSED"}
        assert not elsewhere(lab, "wan1")


@shows("no-bpf-failover")
@both_families
def test_connections_by_an_adapter_that_was_left_do_not_go_on(family: int) -> None:
    with three() as lab, routed(lab, via="wan1,wan2") as command:
        assert command.ask("tcp", to=SERVER[family], keep="old").router == "wan1"
        lab.wan1.carrier(False)
        until_by(command, "wan2")
        lab.wan1.restore()
        lab.clear()
        assert command.ask("again", name="old", seconds=0.5).error in ("ETIMEDOUT", "ECONNRESET")
        assert not astray(lab, command, "tcp", family, lab.wan2)
        assert not elsewhere(lab, "wan2")


@shows("no-bpf-words")
@both_families
def test_refusals_have_other_words(family: int) -> None:
    with Lab(main="both", families={"wan1": "6" if family == 4 else "4"}) as lab, routed(lab) as command:
        heard = command.ask("tcp", to=SERVER[family])
        assert heard.error == {4: "ENETUNREACH", 6: "ECONNREFUSED"}[family]
        assert heard.ms < 300
        assert command.ask("udp", to=SERVER[family]).error == "ENETUNREACH"
        assert command.ask("ping", to=SERVER[family], seconds=2).error
        assert not elsewhere(lab, "wan1")


@shows("no-bpf-servers")
@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_the_servers_of_the_start_are_asked_by_the_adapter(family: str) -> None:
    with Lab(main="both") as lab, kept(lab, "resolvconf", family, OLD[family]), routed(lab) as command:
        tell(lab, "resolvconf", family, NEW[family])
        until(lambda: servers_of_routes(lab) == [NEW[family]], 3)
        assert asked_by_glibc(lab, command) == {OLD[family]}


def servers_of_routes(lab: Lab) -> list[str]:
    """Whom routes ask, as `status` tells."""
    routes = json.loads(procroute(lab, "status", "--json").stdout)["routes"]
    return [server for route in routes for server in route["dns"]["servers"]]


@shows("no-bpf-mptcp")
@both_families
def test_mptcp_stays_and_leaves_by_the_route(command: Command, family: int) -> None:
    command.lab.clear()
    heard = command.ask("tcp", to=SERVER[family], mptcp=True)
    assert (heard.router, heard.protocol) == ("wan1", 262)
    assert not elsewhere(command.lab, "wan1")


@shows("no-bpf-ports")
@both_families
def test_a_port_tried_in_vain_moves_nobody(command: Command, family: int) -> None:
    lab = command.lab
    with bystander(lab) as other, routed(lab, "--strict", via="wan2") as third:
        lab.wan1.silence(forget=False)
        assert command.ask("tcp", to=SERVER[family], port=7000, source_port=5555, seconds=0.3).error
        lab.wan1.restore()
        lab.clear()
        for who in (other, third):
            heard = who.ask("tcp", to=SERVER[family], source_port=5555, seconds=0.3)
            assert heard.router in {"", "wan2"}
        assert not elsewhere(lab, "wan2", "wan1")
        assert not lab.wan1.packets(destination=SERVER[family], protocol=TCP)


@shows("no-bpf-flush")
@both_families
def test_a_flushed_ruleset_lets_it_out_until_it_is_repaired(command: Command, family: int) -> None:
    lab = command.lab
    command.freeze()
    lab.nft("flush ruleset")
    assert command.ask("tcp", to=SERVER[family]).router == "wan2"
    command.thaw()
    until(lambda: command.ask("tcp", to=SERVER[family]).router == "wan1", 3)


@shows("no-bpf-counting")
@both_families
def test_what_an_assignment_carries_is_not_told(family: int) -> None:
    with (
        Lab(main="both") as lab,
        daemon(lab),
        placed(lab, ALICE) as command,
        watcher(lab, traffic=0.1) as seen,
    ):
        assert not command.ask("udp", to=SERVER[family]).error
        seen.wait(lambda: [r for told in seen.of("traffic") for r in told["routes"] if r.get("sent")])
        assert not any(told.get("assignments") for told in seen.of("traffic"))


@shows("no-bpf-cost")
def test_the_whole_machine_is_tracked() -> None:
    with Lab(main="both") as lab, bystander(lab) as other:
        with routed(lab):
            assert not astray(lab, other, "udp", 4, lab.wan2)
            assert int(lab.sh("cat /proc/sys/net/netfilter/nf_conntrack_count")) > 0


@promise("NOBPF-01")
def test_each_test_that_must_fail_is_there() -> None:
    """A pattern that meets nothing, after a test was renamed, would except nothing."""
    for name, patterns in BUT.items():
        module = importlib.import_module(f"tests.netns.{name}")
        tests = [test for test in dir(module) if test.startswith("test_")]
        for pattern in patterns:
            assert any(pattern.partition("\\[")[0] in test for test in tests), (name, pattern)
