"""`procroute adapters` on a machine: what root sees, what anybody sees, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from procroute.lab import WAN1, Lab
from tests.netns.inhabitants import routed
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, unchanged

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """wan2 has IPv4 only; networkd keeps name servers for wan1; a tunnel without a carrier."""
    with Lab(families={"wan2": "4"}) as lab:
        ifindex = lab.sh("cat /sys/class/net/wan1/ifindex").strip()
        lab.sh("mkdir -p /run/systemd/netif/links")
        lab.path(f"/run/systemd/netif/links/{ifindex}").write_text(f"DNS={WAN1.dns4} {WAN1.dns6}\n")
        lab.sh("ip tuntap add tun0 mode tun; ip link property add dev wan1 altname fibre.0")
        yield lab


def told(lab: Lab, *before: str) -> dict[str, Any]:
    """What the verb says of each adapter, by name; before: the words to become somebody else."""
    done = lab.run([*before, *PROCROUTE, "adapters", "--json"], env=ENVIRONMENT, check=True)
    document = json.loads(done.stdout)
    assert document["version"] == 1
    return {adapter["name"]: adapter for adapter in document["adapters"]}


@pytest.mark.promise("LOOK-01")
def test_root_sees_who_uses_what(lab: Lab) -> None:
    with unchanged(lab):
        with routed(lab):
            wan1 = told(lab)["wan1"]
        assert wan1["routes"] == ["wan1"]
        assert told(lab)["wan1"]["routes"] == []
    assert (wan1["state"], wan1["type"], wan1["altnames"]) == ("up", "veth", ["fibre.0"])
    its = {"servers": [WAN1.dns4, WAN1.dns6], "learnt": "systemd-networkd"}
    assert wan1["dns"] == its | {"sources": [its]}
    for family, gateway in (("ipv4", WAN1.gateway4), ("ipv6", WAN1.gateway6)):
        way = {"usable": True, "gateway": gateway, "learnt": "main, boot", "answers": True}
        assert wan1["ways"][family] == way


@pytest.mark.promise("LOOK-01")
def test_anybody_may_look(lab: Lab) -> None:
    found = told(lab, *NOBODY)
    assert list(found) == ["wan1", "wan2", "lan0", "tun0"]
    assert found["wan2"]["ways"]["ipv6"] == {"usable": False, "missing": "no IPv6 address"}
    assert found["tun0"]["state"] == "down"
    with routed(lab):
        assert told(lab, *NOBODY)["wan1"]["routes"] == []


@pytest.mark.promise("LOOK-01")
def test_people_get_a_table(lab: Lab) -> None:
    done = procroute(lab, "adapters")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = (line for line in done.stdout.splitlines() if line.lstrip().startswith("wan1 "))
    assert line.split() == ["wan1", "veth", "up", WAN1.address4, WAN1.gateway4, "main,", "boot", WAN1.dns4]
    assert "\x1b" not in done.stdout
