"""Each kind of health check is made by its adapter, whatever the machine prefers, and by no other."""

from __future__ import annotations

import sys

import pytest

from procroute.lab import Lab
from procroute.lab.topology import Main
from tests.netns.checking import checks, found, kind_of_check, of_every_kind, pages, states, wrong
from tests.netns.daemons import daemon
from tests.netns.inhabitants import bystander
from tests.netns.running import until
from tests.netns.test_reload import configure
from tests.netns.traffic import SERVER, astray, both_families, own_address

promise = pytest.mark.promise


def all_up(lab: Lab, adapter: str) -> bool:
    """Whether each check of an adapter was answered."""
    found = states(lab, adapter)
    return bool(found) and set(found.values()) == {"up"}


@promise("HEALTH-01", "HEALTH-02")
@pytest.mark.parametrize("rp_filter", [0, 1, 2])
@pytest.mark.parametrize(
    ("adapter", "main"), [("wan1", "both"), ("wan1", "wan2"), ("wan1", "none"), ("wan2", "wan1")]
)
def test_each_kind_goes_by_its_adapter(adapter: str, main: Main, rp_filter: int) -> None:
    """Never main's own: that is the other one, or none."""
    with Lab(main=main, rp_filter=rp_filter) as lab, pages(lab.wan1, lab.wan2):  # type: ignore[arg-type]
        uplink = lab.uplinks[adapter]
        given = uplink if main in ("none", "wan1", "wan2") else None
        configure(lab, checks(adapter, *of_every_kind(), need="all", given=given, interval=0.4))
        with daemon(lab) as running:
            until(lambda: all_up(lab, adapter), 15, "each check")
            assert found(lab, adapter)["state"] == "up"
            until(lambda: not wrong(lab, uplink) or _astray(lab, uplink.adapter), 10)
            assert not wrong(lab, uplink)
            assert f"the health of adapter {adapter} is up" in running.log()
        assert not _astray(lab, adapter), "at the end of the daemon"


def _astray(lab: Lab, adapter: str) -> list[str]:
    lab.settle()
    return [str(p) for name, uplink in lab.uplinks.items() if name != adapter for p in uplink.packets()]


@promise("NEG-09")
@both_families
def test_without_mark_and_adapter_that_would_be_noticed(family: int) -> None:
    """Main prefers wan2: checks of wan1 go there, and find up what is dead."""
    with Lab(main="both") as lab, pages(lab.wan1, lab.wan2):
        configure(lab, checks("wan1", *of_every_kind(), interval=0.4))
        with daemon(lab):
            until(lambda: all_up(lab, "wan1"), 15)
            until(lambda: not wrong(lab, lab.wan1))
        lab.clear()
        with daemon(lab, sys.executable, "-m", "tests.netns.unbound_daemon"):
            lab.wan1.silence()
            until(lambda: states(lab, "wan1").get(f"tcp {_at(family)}:7000") == "up", 15)
            until(lambda: all(_of(lab, p, family) for p in ("tcp", "udp", "icmp")), 15, "checks by wan2")
            assert any("no check of protocol" in one for one in wrong(lab, lab.wan1))


def _at(family: int) -> str:
    return "192.0.2.80" if family == 4 else "[2001:db8:ffff::80]"


def _of(lab: Lab, protocol: str, family: int) -> bool:
    number = {"tcp": 6, "udp": 17, "icmp": 1 if family == 4 else 58}[protocol]
    return bool(lab.wan2.packets(protocol=number, family=family))


@promise("HEALTH-02")
@both_families
def test_bystanders_stay_where_they_are(family: int) -> None:
    with Lab(main="both", rp_filter=1) as lab, pages(lab.wan1), bystander(lab) as other:
        configure(lab, checks("wan1", *of_every_kind(), interval=0.3))
        with daemon(lab):
            until(lambda: all_up(lab, "wan1"), 15)
            for way in ("tcp", "udp", "unconnected", "ping"):
                # What goes by wan1 is the checks'.
                strays = [s for s in astray(lab, other, way, family, lab.wan2) if not s.startswith("wan1")]
                assert not strays
            answers = [kind for kind, state in states(lab, "wan1").items() if state != "up"]
            assert not answers


@promise("HEALTH-01")
@both_families
def test_a_tunnel_needs_no_gateway(family: int) -> None:
    from procroute.lab import TUN

    with Lab(main="wan2") as lab:
        lab.add(TUN, tunnel=True)
        each = [kind_of_check(kind, family) for kind in ("ping", "tcp", "dns", "gateway")]
        configure(lab, checks(TUN.adapter, *each, interval=0.3))
        with daemon(lab):
            until(lambda: list(states(lab, TUN.adapter).values()).count("up") == 3, 15)
            told = found(lab, TUN.adapter)
            assert told["state"] == "up"
            assert any("needs no IPv" in one["reason"] for one in told["checks"])
            lab.settle()
            assert lab.uplinks[TUN.adapter].packets(family=family)
            assert not lab.wan2.packets()


@promise("HEALTH-01", "HEALTH-02")
@both_families
def test_addresses_of_the_machine_itself_are_not_checked(family: int) -> None:
    """They answer though all behind the adapter is dead, or are asked for from another adapter's address."""
    with Lab(main="both") as lab:
        own = [kind_of_check("ping", family, own_address(u, family)) for u in (lab.wan1, lab.wan2)]
        own.append(kind_of_check("tcp", family, own_address(lab.wan2, family)))
        configure(lab, checks("wan1", *own, kind_of_check("ping", family), interval=0.2))
        lab.clear()
        with daemon(lab):
            until(lambda: sorted(states(lab, "wan1").values()) == ["unknown"] * 3 + ["up"], 15)
            said = [c["reason"] for c in found(lab, "wan1")["checks"] if c["state"] == "unknown"]
            assert all("is an address of this machine: nothing would leave" in why for why in said), said
            lab.settle()
            assert {p.destination for p in lab.wan1.packets()} == {SERVER[family]}
            # One that is no address of the machine any more is checked like any other.
            lab.wan2.drop_address(family)
            until(lambda: list(states(lab, "wan1").values()).count("unknown") == 1, 15)
