"""Routes whose adapter is not there: for whom rules and tunnels have them, nothing leaves until it comes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from procroute.lab import Lab, Uplink
from procroute.lab.topology import VPN, WAN2, Main
from tests.netns.daemons import ALICE, daemon
from tests.netns.inhabitants import Command, routed
from tests.netns.resolving import EVERY_WAY, TO_SYSTEM4, TO_SYSTEM6, look_up, wrong
from tests.netns.resolving import astray as questions_astray
from tests.netns.ruled import PROGRAM, done, pid_of, rule, script, started, write
from tests.netns.running import ours, procroute, run, until
from tests.netns.test_over import over
from tests.netns.test_reload import configure
from tests.netns.traffic import FAMILIES, SERVER, assert_nowhere, astray, both_families
from tests.netns.tunnelling import DEVICE, client, inside, outer, server, servers, until_inside

promise = pytest.mark.promise
OWNED, HELD = "owned", "held"
each_kind = pytest.mark.parametrize("kind", [OWNED, HELD])
CONDITION = {OWNED: f'user = "{ALICE}"', HELD: f'exe = "{PROGRAM}"'}


@contextmanager
def machine(kind: str, *options: str, main: Main = "both", rp_filter: Literal[0, 1, 2] = 0) -> Iterator[Lab]:
    """One with a rule whose adapter is not there."""
    with Lab(main=main, rp_filter=rp_filter) as lab:
        script(lab)
        write(lab, rule(CONDITION[kind], *options, way='via = "vpn0"'))
        yield lab


@contextmanager
def meant(lab: Lab, kind: str) -> Iterator[Command]:
    """Somebody whom the rule means, from his start on."""
    with started(lab, *([PROGRAM] if kind == HELD else []), user=ALICE if kind == OWNED else 0) as who:
        yield who


def come(lab: Lab) -> Uplink:
    """The adapter comes, and its default, as of somebody's DHCP."""
    uplink = lab.add(VPN)
    for family, gateway in ((4, VPN.gateway4), (6, VPN.gateway6)):
        lab.ip(f"-{family} route add default via {gateway} dev vpn0 metric 300")
    return uplink


def assert_comes(lab: Lab, who: Command) -> None:
    """It leaves by the adapter within a second of that."""
    uplink = come(lab)
    for family in FAMILIES:
        until(lambda: who.ask("udp", to=SERVER[family]).router == VPN.node, 1)  # noqa: B023 - asked at once
        for how in ("tcp", "udp", "unconnected"):
            assert not astray(lab, who, how, family, uplink)


@promise("ABSENT-01")
@each_kind
@pytest.mark.parametrize("strict", ["strict = true", "strict = false"])
def test_until_its_adapter_comes_nothing_leaves_and_then_it_does(kind: str, strict: str) -> None:
    with machine(kind, strict) as lab, daemon(lab) as running, meant(lab, kind) as who:
        assert_nowhere(lab, who)
        (note,) = done(lab, "list")["notes"]
        assert "there is no adapter vpn0" in note
        assert "vpn0 is not there" in procroute(lab, "status").stdout
        told = procroute(lab, "explain", pid_of(who), SERVER[4]).stdout
        assert "the adapter vpn0 is not there" in told, told
        assert_comes(lab, who)
        until(lambda: not done(lab, "list")["notes"])
        assert "Traceback" not in running.log()


@promise("ABSENT-01")
@each_kind
@pytest.mark.parametrize("main", ["both", "none"])
@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_whatever_main_and_the_reverse_path_checks_are(
    kind: str, main: Main, rp_filter: Literal[0, 1, 2]
) -> None:
    with machine(kind, main=main, rp_filter=rp_filter) as lab, daemon(lab), meant(lab, kind) as who:
        assert_nowhere(lab, who)
        assert_comes(lab, who)


@promise("ABSENT-02")
@each_kind
def test_a_daemon_that_was_killed_meanwhile_changes_nothing(kind: str) -> None:
    with machine(kind) as lab, daemon(lab) as first:
        with meant(lab, kind) as who:
            assert_nowhere(lab, who)
            first.kill()
            assert_nowhere(lab, who)
            with daemon(lab):
                assert_nowhere(lab, who)
                assert_comes(lab, who)


@promise("ABSENT-03")
def test_it_goes_with_its_rule() -> None:
    with machine(OWNED) as lab, daemon(lab), meant(lab, OWNED) as who:
        assert_nowhere(lab, who)
        done(lab, "disable", "/etc/procroute/rules.d/50-test.toml:1")
        assert not astray(lab, who, "tcp", 4, lab.wan2)
        until(lambda: not ours(lab).get("rules"))


@promise("ABSENT-04")
def test_who_asks_for_such_a_route_himself_is_told_that_it_is_not_there() -> None:
    with machine(OWNED) as lab, daemon(lab), meant(lab, OWNED) as who:
        refused = run(lab, "vpn0", "true")
        assert refused.returncode == 125
        assert "there is no adapter vpn0" in refused.stderr
        assert "hint:" in refused.stderr
        pid = str(who.ask("hello").pid)
        assert procroute(lab, "assign", pid, "--via", "vpn0").returncode == 125


@promise("ABSENT-01")
@each_kind
def test_with_main_as_the_last_resort_it_goes_by_main_until_then(kind: str) -> None:
    with machine(kind) as lab:
        lab.path("/etc/procroute/config.toml").write_text(
            '[route.vpn0]\nadapters = ["vpn0"]\non_down = "main"\nhold = 0.2\n'
        )
        with daemon(lab), meant(lab, kind) as who:
            for family in FAMILIES:
                assert not astray(lab, who, "tcp", family, lab.wan2)
            assert_comes(lab, who)


@promise("ABSENT-05")
@each_kind
def test_neither_adapter_nor_gateway_need_be_complete_when_it_comes(kind: str) -> None:
    """First it is there, then up, then it has addresses, last its default."""
    with machine(kind) as lab, daemon(lab), meant(lab, kind) as who:
        uplink = lab.add(VPN)
        lab.ip("link set vpn0 down")
        assert_nowhere(lab, who)
        lab.ip("link set vpn0 up")
        lab.batch("".join(f"address replace {a} dev vpn0\n" for a in (VPN.machine4, f"{VPN.machine6} nodad")))
        assert_nowhere(lab, who)
        assert "no gateway is known for vpn0" in done(lab, "list")["notes"][0]
        for family, gateway in ((4, VPN.gateway4), (6, VPN.gateway6)):
            lab.ip(f"-{family} route add default via {gateway} dev vpn0 metric 300")
            until(lambda: who.ask("udp", to=SERVER[family]).router == VPN.node, 1)  # noqa: B023 - asked at once
            assert not astray(lab, who, "tcp", family, uplink)


@promise("ABSENT-01")
@each_kind
def test_an_adapter_of_that_name_in_another_namespace_is_none(kind: str) -> None:
    with machine(kind) as lab:
        lab.sh("unshare -n sleep 60 </dev/null >/dev/null 2>&1 & echo $! >/run/other; sleep 0.2")
        lab.sh("ip link add vpn0 netns $(cat /run/other) type veth peer name other0 && ip link set other0 up")
        with daemon(lab), meant(lab, kind) as who:
            assert_nowhere(lab, who)
            assert "there is no adapter vpn0" in done(lab, "list")["notes"][0]
            assert_comes(lab, who)
        lab.sh("kill $(cat /run/other)")


@promise("ABSENT-06")
@both_families
@pytest.mark.parametrize("named", [(), (f'over_exe = "{PROGRAM}"',)], ids=["found", "named"])
def test_outer_packets_of_a_tunnel_wait_for_the_adapter_of_their_route(
    named: tuple[str, ...], family: int
) -> None:
    with Lab(main="both") as lab, servers(lab, family):
        script(lab)
        configure(lab, over("vpn0", *named))
        if named:
            lab.clear()
        with daemon(lab) as running, client(lab, family, before=[PROGRAM] if named else []):
            until(lambda: [one["route"] for one in running.ps()] == ["vpn0"])
            with routed(lab, via=DEVICE) as command:
                if not named:
                    lab.clear()
                assert {inside(command, f) for f in FAMILIES} == {"ETIMEDOUT"}
                assert outer(lab) == {}
                with server(come(lab), family):
                    until_inside(command, "vpn")
                assert set(outer(lab)) == {"vpn0"}


@promise("ABSENT-07")
def test_look_ups_go_nowhere_and_then_to_the_servers_of_the_adapter() -> None:
    """The system's own lie on the LAN of wan2."""
    with machine(HELD) as lab:
        configure(lab, f'[adapter.vpn0]\ndns = ["{VPN.dns4}", "{VPN.dns6}"]\n')
        with daemon(lab) as running:
            answers = look_up(lab, *EVERY_WAY, by=[PROGRAM])
            assert all(answer["error"] for answer in answers.values()), answers
            assert questions_astray(lab, "vpn0") == []
            come(lab)
            asked = (*TO_SYSTEM4, *TO_SYSTEM6)
            until(lambda: not wrong(look_up(lab, *asked, by=[PROGRAM]), "vpn"), 5, running.log())
            look_up(lab, *EVERY_WAY, by=[PROGRAM])
            assert {query.server for query in lab.uplinks["vpn0"].queries()} == {VPN.dns4, VPN.dns6}
            assert questions_astray(lab, "vpn0") == []


@promise("ABSENT-07")
def test_given_servers_on_the_lan_of_another_adapter_are_not_asked_there() -> None:
    with Lab(main="both") as lab:
        script(lab)
        way = f'via = "vpn0"\ndns = ["{WAN2.dns4}", "{WAN2.dns6}"]'
        write(lab, rule(CONDITION[HELD], way=way))
        with daemon(lab):
            answers = look_up(lab, *EVERY_WAY, by=[PROGRAM])
            assert all(answer["error"] for answer in answers.values()), answers
            assert questions_astray(lab, "vpn0") == []


@promise("NEG-18")
@each_kind
def test_without_it_who_is_meant_goes_by_main(kind: str) -> None:
    with machine(kind, 'when_down = "allow"') as lab:
        without = [sys.executable, "-m", "tests.netns.lesser_daemon", "absent"]
        with daemon(lab, *without) as running, meant(lab, kind) as who:
            with pytest.raises(AssertionError):
                assert_nowhere(lab, who)
            assert not astray(lab, who, "tcp", 4, lab.wan2)
            assert "there is no adapter vpn0" in running.log()
