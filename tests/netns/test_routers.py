"""Adapters with several routers, with one of the other family, or with none; and what hides beside them."""

from __future__ import annotations

import sys
import time
from functools import partial

import pytest

from procroute.lab import Lab
from tests.netns.inhabitants import Command, Inhabitant, bystander, routed
from tests.netns.running import unchanged, until
from tests.netns.traffic import SERVER, WAYS, astray, both_families, gateway
from tests.netns.uplinks import three

promise = pytest.mark.promise
DEAD = {4: "198.51.100.77", 6: "fe80::dead"}
EVERYTHING = {4: "default", 6: "::/0"}
LOOKING = 2.0
"""Seconds in which a gateway that does not answer would be asked for several times."""


def default(lab: Lab, family: int, how: str) -> None:
    """Add a default of that family to main."""
    lab.ip(f"-{family} route add {EVERYTHING[family]} {how}")


def answered_by(who: Inhabitant, family: int) -> str:
    """Which node answers; none where nothing does."""
    return who.ask("tcp", to=SERVER[family], seconds=4).router


def always(who: Inhabitant, family: int, node: str) -> bool:
    """Whether for a while every connection is answered there."""
    end = time.monotonic() + LOOKING
    while time.monotonic() < end:
        if answered_by(who, family) != node:
            return False
    return True


@promise("PATH-01", "DOWN-05", "BY-03")
@both_families
def test_a_router_that_answers_takes_the_place_of_one_that_does_not(family: int) -> None:
    """And nobody asks for the dead one meanwhile, so that bystanders do not go to it again (IPv6)."""
    with Lab(main="none") as lab:
        default(lab, family, f"via {DEAD[family]} dev wan1 metric 10")
        default(lab, family, f"via {gateway(lab.wan1, family)} dev wan1 metric 20")
        with bystander(lab) as other, unchanged(lab), routed(lab) as command:
            until(lambda: answered_by(command, family) == "wan1", what="the way by the other router")
            assert always(command, family, "wan1")
            if family == 6:
                until(lambda: answered_by(other, 6) == "wan1", what="the bystander's way")
                assert always(other, 6, "wan1")
            assert "FAILED" in lab.ip(f"neigh show {DEAD[family]} dev wan1")


@promise("DOWN-05", "DOWN-06", "BY-03")
def test_a_dead_router_is_not_asked_for_where_bystanders_have_another() -> None:
    """But it is as soon as it speaks itself."""
    with Lab(main="none") as lab:
        default(lab, 6, f"via {gateway(lab.wan1, 6)} dev wan1 metric 10")
        default(lab, 6, f"via {gateway(lab.wan2, 6)} dev wan2 metric 20")
        with bystander(lab) as other, routed(lab) as command:
            assert answered_by(command, 6) == "wan1"
            lab.wan1.silence()
            until(lambda: answered_by(other, 6) == "wan2", what="the bystander's way")
            until(lambda: not lab.ip("-6 route show table 7301 default"), what="the default's withdrawal")
            assert always(other, 6, "wan2")
            assert not answered_by(command, 6)
            lab.wan1.silence(on=False)
            lab.wan1.run(["ip", "neigh", "flush", "dev", "up0"])
            lab.wan1.run(["ping", "-n", "-c1", "-W0.05", "-I", gateway(lab.wan1, 6), lab.wan1.wire.address6])
            until(lambda: answered_by(command, 6) == "wan1", 2, what="the way back")


@promise("DOWN-05", "DOWN-06", "BY-03")
def test_a_dead_router_is_asked_for_where_bystanders_have_one_that_comes_first() -> None:
    """Though main has a third that comes after it. It says nothing by itself."""
    with three() as lab, bystander(lab) as other, routed(lab) as command:
        assert answered_by(command, 6) == "wan1"
        lab.wan1.silence()
        until(lambda: not lab.ip("-6 route show table 7301 default"), what="the default's withdrawal")
        assert not answered_by(command, 6)
        assert always(other, 6, "wan2")
        lab.wan1.silence(on=False)
        until(lambda: answered_by(command, 6) == "wan1", 2, what="the way back")
        assert always(other, 6, "wan2")


# A router advertisement (RFC 4861, 4.2): from whom, and its preference (RFC 4191, 2.2).
_ADVERTISE = """
import socket, struct, sys
sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
index = socket.if_nametoindex("up0")
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
sock.bind((sys.argv[1], 0, 0, index))
bits = {"low": 0x18, "medium": 0, "high": 0x08}[sys.argv[2]]
message = struct.pack("!BBHBBHII", 134, 0, 0, 64, bits, 1800, 0, 0)
if len(sys.argv) > 3:  # a route information option (RFC 4191, 2.3) for a /48
    message += struct.pack("!BBBBI", 24, 2, 48, bits, 1800)
    message += socket.inet_pton(socket.AF_INET6, sys.argv[3])[:8]
sock.sendto(message, ("ff02::1", 0, 0, index))
"""


def heard(lab: Lab, destination: str, router: str) -> bool:
    """Whether main has taken in what that router said."""
    return f"via {router} " in lab.ip(f"-6 route show {destination}")


@promise("PATH-01")
@pytest.mark.parametrize(("first", "second"), [("low", "medium"), ("medium", "high")])
def test_the_router_that_is_preferred_is_taken(first: str, second: str) -> None:
    with Lab(main="none") as lab:
        lab.sysctl("net/ipv6/conf/wan1/accept_ra", "2")
        lab.wan1.sh("sysctl -qw net.ipv6.conf.all.forwarding=1; ip addr add fe80::aa/64 dev up0 nodad")
        for router, preference in (("fe80::aa", first), ("fe80::1", second)):
            lab.wan1.run([sys.executable, "-c", _ADVERTISE, router, preference], check=True)
            until(partial(heard, lab, "default", router), what=router)
        with routed(lab) as command:
            assert "via fe80::1 " in lab.ip("-6 route show table 7301 default")
            assert answered_by(command, 6) == "wan1"


@promise("LAN-01")
@pytest.mark.parametrize("second", ["medium", "high"])
def test_a_prefix_of_the_lan_that_two_routers_announce(second: str) -> None:
    """Main keeps their entries apart, our tables cannot."""
    with Lab(main="both") as lab:
        lan = lab.uplinks["lan0"]
        lab.sysctl("net/ipv6/conf/lan0/accept_ra", "2")
        lab.sysctl("net/ipv6/conf/lan0/accept_ra_rt_info_max_plen", "64")
        lan.sh("sysctl -qw net.ipv6.conf.all.forwarding=1; ip addr add fe80::aa/64 dev up0 nodad")
        for router, preference in (("fe80::aa", "medium"), ("fe80::1", second)):
            words = [sys.executable, "-c", _ADVERTISE, router, preference, "fd07:7:7::"]
            lan.run(words, check=True)
            until(partial(heard, lab, "fd07:7:7::/48", router), what=router)
        with routed(lab):
            copied = lab.ip("-6 route show table 7301 fd07:7:7::/48")
            assert "via fe80::1 " in copied
            assert ("via fe80::aa " in copied) == (second == "medium")


def wrong(lab: Lab, command: Command, family: int) -> list[str]:
    """Everything that is not as it should be for a command by wan1, in one family."""
    return [finding for way in WAYS for finding in astray(lab, command, way, family, lab.wan1)]


@promise("PATH-01", "PATH-03")
def test_an_ipv4_default_by_an_ipv6_router() -> None:
    """RFC 5549. It is no gateway of IPv6."""
    with Lab(main="wan2", families={"wan2": "46"}) as lab:
        default(lab, 4, "via inet6 2001:db8:1::1 dev wan1 metric 500")
        with unchanged(lab), routed(lab) as command:
            assert not wrong(lab, command, 4)
            assert not lab.ip("-6 route show table 7301 default")
            assert command.ask("tcp", to=SERVER[6]).error == "ENETUNREACH"
            lab.ip("route del default dev wan1")
            until(lambda: command.ask("tcp", to=SERVER[4]).error == "ENETUNREACH", what="its end")
            assert not lab.ip("-6 route show table 7301 default")
            default(lab, 4, "via inet6 2001:db8:1::1 dev wan1 metric 500")
            until(lambda: answered_by(command, 4) == "wan1", 2, what="the way back")


@promise("PATH-01", "PATH-03")
@both_families
def test_a_line_whose_router_answers_for_everybody(family: int) -> None:
    """Main's default by an Ethernet names no gateway: proxy ARP and ND."""
    with Lab(main="wan2") as lab:
        default(lab, family, "dev wan1 metric 500")
        lab.wan1.sh(
            "sysctl -qw net.ipv4.conf.up0.arp_ignore=0 net.ipv6.conf.up0.forwarding=1;"
            " sysctl -qw net.ipv6.conf.up0.proxy_ndp=1;"
            f" ip -6 neigh add proxy {SERVER[6]} dev up0"
        )
        with unchanged(lab), routed(lab) as command:
            assert not wrong(lab, command, family)


@promise("PATH-01", "PATH-03", "PATH-08")
def test_an_adapter_whose_ipv6_address_is_deprecated() -> None:
    """The kernel would rather take another adapter's as source."""
    with Lab(main="both") as lab, routed(lab) as command:
        assert not wrong(lab, command, 6)
        lab.ip("addr change 2001:db8:1::2/64 dev wan1 preferred_lft 0 valid_lft 3600")
        until(lambda: "src" in lab.ip("-6 route show table 7301 default"), what="the source")
        assert not wrong(lab, command, 6)
        assert not astray(lab, command, "udp", 6, lab.wan1, to=gateway(lab.wan1, 6))
        lab.ip("addr change 2001:db8:1::2/64 dev wan1 preferred_lft 3600 valid_lft 3600")
        until(lambda: "src" not in lab.ip("-6 route show table 7301 default"), what="its end")
        assert not wrong(lab, command, 6)


@promise("LAN-01")
@pytest.mark.parametrize("told", [1, 0], ids=["hops", "objects"])
def test_lan_entries_with_an_encapsulation_are_not_copied_without_it(told: int) -> None:
    with Lab(main="both") as lab:
        lab.sysctl("net/ipv4/nexthop_compat_mode", str(told))
        lab.sh(
            "ip route add 10.77.0.0/16 encap ip id 5 dst 192.168.50.1 dev lan0;"
            "ip -6 route add fd77::/16 encap seg6 mode encap segs fd50::1 dev lan0;"
            "ip nexthop add id 7 encap ip id 5 dst 192.168.50.1 via 192.168.50.1 dev lan0;"
            "ip route add 10.78.0.0/16 nhid 7; ip route add 10.79.0.0/16 via 192.168.50.1 dev lan0"
        )
        with unchanged(lab), routed(lab):
            copied = lab.ip("route show table 7301") + lab.ip("-6 route show table 7301")
            assert "10.79.0.0/16" in copied
            assert not [p for p in ("10.77.0.0/16", "10.78.0.0/16", "fd77::/16") if p in copied]


@promise("PATH-01", "BY-01")
@both_families
def test_another_rule_at_preference_0_leaves_ours_before_the_rest(family: int) -> None:
    prefix = "10.98.0.0/16" if family == 4 else "fd98::/16"
    with Lab(main="both") as lab:
        lab.ip(f"-{family} rule add pref 100 lookup main")
        with unchanged(lab), routed(lab) as command:
            assert not wrong(lab, command, family)
            lab.ip(f"-{family} rule add pref 0 from {prefix} lookup 78")
            try:
                # The engine has looked when it has put back what went with it.
                lab.ip(f"-{family} rule del pref 4400")
                until(lambda: "4400:" in lab.ip(f"-{family} rule"), what="the engine's look")
                assert not wrong(lab, command, family)
            finally:
                lab.ip(f"-{family} rule del pref 0 from {prefix} lookup 78")
