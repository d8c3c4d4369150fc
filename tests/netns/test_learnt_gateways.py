"""Gateways that somebody keeps beside main: systemd-networkd (UseGateway=no), NetworkManager."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procroute.lab import WAN1, Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from tests.netns.inhabitants import routed
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, run, unchanged, until
from tests.netns.traffic import FAMILIES, SERVER, WAYS, astray, elsewhere

promise = pytest.mark.promise


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Main has no default by wan1; wan1 has IPv4 only."""
    with Lab(main="wan2", families={"wan1": "4"}) as lab:
        lab.sh("mkdir -p /run/systemd/netif/leases")
        yield lab


def lease(lab: Lab, router: str, address: str = WAN1.address4) -> None:
    """Networkd writes a lease: a new file takes the place of the old one."""
    text = f"# This is private data. Do not parse.\nADDRESS={address}\nROUTER={router}\nDNS={WAN1.dns4}\n"
    lab.sh(
        "cd /run/systemd/netif/leases; i=$(cat /sys/class/net/wan1/ifindex);"
        f" printf '{text}' > .#$i; mv .#$i $i"
    )


@promise("LOOK-10")
@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_a_lease_is_enough(rp_filter: int) -> None:
    with Lab(main="wan2", families={"wan1": "4"}, rp_filter=rp_filter) as lab:  # type: ignore[arg-type]
        refused = run(lab, "wan1", "true")
        assert refused.returncode == 125
        assert "no gateway is known for wan1" in refused.stderr
        lab.sh("mkdir -p /run/systemd/netif/leases")
        lease(lab, WAN1.gateway4)
        with unchanged(lab), routed(lab) as command:
            assert not [w for way in WAYS for w in astray(lab, command, way, 4, lab.wan1)]
            words = [*PROCROUTE, "adapters", "--json"]
            told = json.loads(lab.run(words, env=ENVIRONMENT, check=True).stdout)["adapters"]
            (wan1,) = (a for a in told if a["name"] == "wan1")
            assert wan1["ways"]["ipv4"]["learnt"] == "networkd lease"
            assert wan1["ways"]["ipv4"]["gateway"] == WAN1.gateway4
            its = {"servers": [WAN1.dns4], "learnt": "networkd lease"}
            assert wan1["dns"] == its | {"sources": [its]}


@promise("LOOK-11")
def test_a_new_lease_is_followed(lab: Lab) -> None:
    lab.wan1.batch("address add 198.51.100.9/24 dev up0\n")
    lease(lab, WAN1.gateway4)
    with routed(lab) as command:
        assert command.ask("tcp", to=SERVER[4]).router == "wan1"
        lab.clear()
        lease(lab, "198.51.100.9")
        until(lambda: "via 198.51.100.9 " in lab.ip("route show table 7301 default"), 1)
        assert command.ask("tcp", to=SERVER[4]).router == "wan1"
        lab.sh("rm /run/systemd/netif/leases/*")
        until(lambda: not lab.ip("route show table 7301 default"), 1)
        assert command.ask("tcp", to=SERVER[4]).error == "ENETUNREACH"
        assert not elsewhere(lab, "wan1")
        command.freeze()
        lease(lab, WAN1.gateway4)
        assert not lab.ip("route show table 7301 default")
        command.thaw()
        until(lambda: lab.ip("route show table 7301 default"), 1)


@promise("LOOK-10")
def test_main_is_trusted_more(lab: Lab) -> None:
    lease(lab, "198.51.100.9")
    lab.ip(f"route add default via {WAN1.gateway4} dev wan1 metric 900")
    with routed(lab) as command:
        assert command.ask("tcp", to=SERVER[4]).router == "wan1"
        assert f"via {WAN1.gateway4} " in lab.ip("route show table 7301 default")
    assert procroute(lab, "adapters").returncode == 0


# --- NetworkManager, which a small service stands for

_BUS = """<busconfig>
  <type>session</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
  <policy context="default"><allow user="*"/><allow own="*"/>
  <allow send_destination="*"/><allow receive_sender="*"/></policy>
</busconfig>
"""
_SERVICE = Path(__file__).with_name("fake_network_manager.py")


def network_manager(lab: Lab, *options: str, dns: tuple[str, str] = (WAN1.dns4, WAN1.dns6)) -> Process:
    """A bus in the machine, and the service on it; both end with the lab. dns: of wan1."""
    lab.path("/run/bus.conf").write_text(_BUS)
    lab.sh("mkdir -p /run/dbus /run/NetworkManager")
    if not lab.path("/run/dbus/system_bus_socket").exists():
        lab.popen(["dbus-daemon", "--config-file=/run/bus.conf", "--nofork", "--nopidfile"])
    until(lambda: lab.sh("ls /run/dbus") == "system_bus_socket\n")
    words = ["unix:path=/run/dbus/system_bus_socket", "wan1", WAN1.gateway4, "fe80::1", *dns]
    service = lab.popen([sys.executable, str(_SERVICE), *words, *options])
    until(lambda: lab.path("/run/up").exists())
    lab.sh("rm /run/up; echo > /run/NetworkManager/resolv.conf")
    return service


@promise("LOOK-12")
def test_what_network_manager_knows_is_enough() -> None:
    """Main has nothing by wan1: ipv4.never-default and ipv6.never-default."""
    with Lab(main="wan2") as lab:
        assert "no gateway is known for wan1" in run(lab, "wan1", "true").stderr
        network_manager(lab)
        with unchanged(lab), routed(lab) as command:
            assert not [w for f in FAMILIES for way in WAYS for w in astray(lab, command, way, f, lab.wan1)]
            words = [*PROCROUTE, "adapters", "--json"]
            told = json.loads(lab.run(words, env=ENVIRONMENT, check=True).stdout)["adapters"]
            (wan1,) = (a for a in told if a["name"] == "wan1")
            assert {f: (way["gateway"], way["learnt"]) for f, way in wan1["ways"].items()} == {
                "ipv4": (WAN1.gateway4, "NetworkManager"),
                "ipv6": ("fe80::1", "NetworkManager"),
            }
            its = {"servers": [WAN1.dns4, WAN1.dns6], "learnt": "NetworkManager"}
            assert wan1["dns"] == its | {"sources": [its]}


@promise("LOOK-12")
def test_one_that_does_not_answer_holds_nothing_up() -> None:
    with Lab(main="both") as lab:
        network_manager(lab, "silent")
        began = time.monotonic()
        assert run(lab, "wan1", "true").returncode == 0
        assert time.monotonic() - began < 4 * FACTOR
        lab.ip("route del default dev wan1")
        lab.ip("-6 route del ::/0 dev wan1")
        assert "no gateway is known for wan1" in run(lab, "wan1", "true").stderr
