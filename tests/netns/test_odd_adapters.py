"""Adapters as people have them at home: two routers of one make, small MTUs, several defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest

from procroute.lab import Lab, Uplink
from procroute.lab.topology import VPN, Wire
from tests.netns.daemons import daemon
from tests.netns.inhabitants import bystander, routed
from tests.netns.running import procroute, run, unchanged
from tests.netns.traffic import FAMILIES, SERVER, WAYS, astray, both_families, elsewhere, own_address
from tests.netns.uplinks import by, configured

promise = pytest.mark.promise
HOME: Final = Wire(
    "home0", "home", 6, "192.168.1.10", "fd01::10", "192.168.1.1", "fd01::1", "192.168.1.53", "fd01::53"
)
LTE: Final = dataclasses.replace(
    HOME, adapter="lte0", node="lte", number=7, address4="192.168.1.20", address6="fd01::20"
)
TWIN: Final = dataclasses.replace(LTE, address4=HOME.address4, address6=HOME.address6)
"""The same in all, its address too."""
LAN_HOST: Final = {4: "192.168.1.77", 6: "fd01::77"}


@contextmanager
def at_home(second: Wire, rp_filter: int = 0) -> Iterator[tuple[Lab, list[Uplink]]]:
    """A machine behind two routers of one subnet and one address; main prefers the second one."""
    with Lab(main="none", rp_filter=rp_filter) as lab:  # type: ignore[arg-type]
        uplinks = [lab.add(HOME), lab.add(second)]
        for metric, uplink in zip((200, 100), uplinks, strict=True):
            wire = uplink.wire
            lab.ip(f"route add default via {wire.gateway4} dev {wire.adapter} metric {metric}")
            lab.ip(f"-6 route add ::/0 via {wire.gateway6} dev {wire.adapter} metric {metric}")
        yield lab, uplinks


@promise("ODD-01")
@pytest.mark.parametrize("rp_filter", [0, 1, 2])
@pytest.mark.parametrize("second", [LTE, TWIN], ids=["same gateway and subnet", "same address"])
def test_two_routers_of_one_make(second: Wire, rp_filter: int) -> None:
    with at_home(second, rp_filter) as (lab, uplinks), unchanged(lab), ExitStack() as stack:
        other = stack.enter_context(bystander(lab))
        assert by(other) == [second.node, second.node]
        commands = [stack.enter_context(routed(lab, via=uplink.adapter)) for uplink in uplinks]
        for uplink, command in zip(uplinks, commands, strict=True):
            for family in FAMILIES:
                for way in WAYS:
                    assert not astray(lab, command, way, family, uplink)
                for way in ("tcp", "udp", "unconnected"):
                    lab.clear()
                    heard = command.ask(way, to=SERVER[family], source=own_address(uplink, family))
                    assert heard.router == uplink.wire.node
                    assert not elsewhere(lab, uplink.adapter)
        assert by(other) == [second.node, second.node]


@promise("ODD-01")
@pytest.mark.parametrize("second", [LTE, TWIN], ids=["same gateway and subnet", "same address"])
@both_families
def test_a_host_of_the_shared_subnet_is_asked_for_by_the_routes_own_adapter(
    second: Wire, family: int
) -> None:
    with at_home(second) as (lab, uplinks), ExitStack() as stack:
        for uplink in uplinks:
            command = stack.enter_context(routed(lab, via=uplink.adapter))
            host = [
                f"{LAN_HOST[family]}/{128 if family == 6 else 32}",
                "dev",
                "up0",
                *["nodad"][: family == 6],
            ]
            assert uplink.run(["ip", f"-{family}", "address", "add", *host]).returncode == 0
            assert not astray(lab, command, "tcp", family, uplink, to=LAN_HOST[family])


@promise("ODD-01", "DOWN-01")
@pytest.mark.parametrize("second", [LTE, TWIN], ids=["same gateway and subnet", "same address"])
def test_one_of_them_down_is_not_the_other(second: Wire) -> None:
    with at_home(second) as (lab, uplinks), routed(lab, via="home0") as command:
        uplinks[0].down()
        lab.clear()
        for family in FAMILIES:
            for way in WAYS:
                assert command.ask(way, to=SERVER[family], seconds=0.3).error
        assert not elsewhere(lab)


# --- MTU


def narrow(uplink: Uplink, mtu: int) -> dict[int, str]:
    """Hosts behind a router of this uplink's whose next link is narrow; their addresses by family."""
    hosts = {4: "198.18.0.9", 6: "2001:db8:18::9"}
    script = f"""
        sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
        ip link add narrow0 mtu {mtu} type veth peer name narrow1 mtu {mtu}
        ip link set narrow1 up; ip link set narrow0 up
        ip route add {hosts[4]} dev narrow0 table local; ip -6 route add {hosts[6]} dev narrow0
        ip neigh add {hosts[4]} lladdr 02:00:00:00:99:01 dev narrow0
        ip -6 neigh add {hosts[6]} lladdr 02:00:00:00:99:01 dev narrow0
    """
    done = uplink.run(["sh", "-ec", script])
    assert done.returncode == 0, done.stderr
    return hosts


@promise("ODD-02")
@pytest.mark.parametrize("rp_filter", [0, 1, 2])
@both_families
def test_each_path_is_as_narrow_as_it_is(family: int, rp_filter: int) -> None:
    """The routers' words about it are heard, and each by the socket that they are for."""
    with Lab(main="both", rp_filter=rp_filter) as lab, ExitStack() as stack:  # type: ignore[arg-type]
        narrow(lab.wan1, 1300)
        hosts = narrow(lab.wan2, 1400)
        first, second = (stack.enter_context(routed(lab, via=name)) for name in ("wan1", "wan2"))
        other = stack.enter_context(bystander(lab))
        for who, mtu in ((first, 1300), (second, 1400), (other, 1400), (first, 1300)):
            assert who.ask("discover_mtu", to=hosts[family]).mtu == mtu
        assert not elsewhere(lab, "wan1", "wan2")


@promise("ODD-02")
@both_families
def test_adapters_of_different_mtu(family: int) -> None:
    with Lab(main="both") as lab, routed(lab) as command:
        lab.ip("link set wan1 mtu 1360")
        assert command.ask("discover_mtu", to=SERVER[family]).mtu == 1360
        assert not astray(lab, command, "tcp", family, lab.wan1)


# --- several defaults, and names that are not there


@promise("ODD-03")
@pytest.mark.parametrize("how", ["by metric", "one that is silent first", "equal"])
@both_families
def test_several_defaults_of_one_adapter(family: int, how: str) -> None:
    with Lab(main="both") as lab:
        uplink = lab.wan1
        own, second = {4: ("198.51.100.1", "198.51.100.9"), 6: ("2001:db8:1::1", "2001:db8:1::9")}[family]
        if how != "one that is silent first":
            uplink.run(
                ["ip", f"-{family}", "address", "add", f"{second}/{128 if family == 6 else 32}", "dev", "up0"]
            )
        if how == "equal":
            lab.ip(f"-{family} route del default via {own} dev wan1")
            hops = " ".join(f"nexthop via {gateway} dev wan1" for gateway in (own, second))
            lab.ip(f"-{family} route add default metric 200 {hops}")
        else:
            metric = 300 if how == "by metric" else 150
            lab.ip(f"-{family} route add default via {second} dev wan1 metric {metric}")
        with routed(lab) as command:
            if how == "one that is silent first":
                assert command.ask("tcp", to=SERVER[family], seconds=0.5).error
                assert not elsewhere(lab, "wan1")
                return
            for way in WAYS:
                assert not astray(lab, command, way, family, uplink)


@promise("ODD-04")
def test_an_adapter_that_another_network_namespace_has() -> None:
    with Lab(main="both") as lab:
        lab.sh("ip netns add other 2>/dev/null || true; ip link add inner0 type veth peer name inner1")
        lab.sh("ip link set inner0 netns other")
        done = run(lab, "inner0", "true")
        assert done.returncode == 125
        assert "there is no adapter inner0" in done.stderr
        lab.sh("ip netns del other; ip link del inner1 2>/dev/null || true")


@promise("ODD-04")
def test_an_adapter_of_the_configuration_that_is_not_there_yet() -> None:
    text = '[route.stick]\nadapters = ["vpn0"]\n[adapter.vpn0]\ngateway4 = "10.8.0.1"\n'
    with Lab(main="both") as lab, configured(lab, text):
        assert procroute(lab, "config", "check").returncode == 0
        with daemon(lab) as running:
            assert "Traceback" not in running.log()
            done = run(lab, "stick", "true")
            assert (done.returncode, "vpn0" in done.stderr) == (125, True), done.stderr
            assert "hint" in done.stderr
            vpn = lab.add(VPN)
            lab.ip("route add default via 10.8.0.1 dev vpn0 metric 300")
            lab.ip("-6 route add ::/0 via fd08::1 dev vpn0 metric 300")
            with routed(lab, via="stick") as command:
                assert not [w for f in FAMILIES for w in astray(lab, command, "tcp", f, vpn)]
