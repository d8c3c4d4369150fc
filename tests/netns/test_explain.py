"""`procroute explain`: what it says besides where packets go, and of whom."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from procroute.lab import WAN1, WAN2, Lab
from tests.netns.checking import checks, kind_of_check
from tests.netns.checking import found as found_health
from tests.netns.daemons import ALICE, daemon, placed
from tests.netns.explained import caveats, findings, first, moved, target_of, told
from tests.netns.inhabitants import bystander, routed
from tests.netns.running import procroute, unchanged, until
from tests.netns.test_reload import configure
from tests.netns.traffic import FAMILIES, both_families, own_address

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(main="both") as lab:
        yield lab


@promise("EXPLAIN-02")
def test_a_command_is_explained_from_its_cgroup_to_its_look_ups(lab: Lab) -> None:
    with unchanged(lab), routed(lab) as command:
        found = told(lab, command)
        said = findings(found)
        assert list(said) == ["cgroup", "target", "assigned", "mark", "health", "dns"]
        assert command.ask("hello").cgroup in said["cgroup"]
        assert "route wan1" in said["target"]
        assert "by root with procroute run" in said["assigned"]
        assert "0x2000000" in said["mark"]
        assert f"{WAN1.dns4} (the system's)" in said["dns"]
        assert said["health"] == "its adapter wan1 is up; nothing checks whether it leads anywhere"
        assert (found["route"], found["mark"]) == ("wan1", 0x0200_0000)
        for family in FAMILIES:
            way = first(found, family)
            assert (way["outcome"], way["adapter"]) == ("leaves", "wan1")
            assert (way["source"], way["table"]) == (own_address(lab.wan1, family), 7301)
            rules = lab.ip(f"-N -{family} rule show pref {way['preference']}")
            assert "lookup 7301" in rules
            # With the bound bit the kernel answers by the adapter that has the address.
            bound = next(w for w in found["ways"] if w["bound"] == own_address(lab.wan2, family))
            index = int(lab.path("/sys/class/net/wan2/ifindex").read_text())
            assert (bound["outcome"], bound["adapter"]) == ("dropped", "wan2")
            assert bound["table"] == 700_000 + index
        text = "\n".join(found["families"]["ipv4"])
        for words in ("rule 0: from all lookup local: nothing", "lookup procroute-wan1 (7301): decides"):
            assert words in text
        assert "the guard lets it pass" in text
        assert f"look-ups to {WAN1.dns4}: it leaves by wan1, from {WAN1.address4}" in text


@promise("EXPLAIN-02")
def test_a_bystander_is_explained_as_well(lab: Lab) -> None:
    with bystander(lab) as other:
        alone = told(lab, other)
        with routed(lab):
            found = told(lab, other)
            assert [w["adapter"] for w in found["ways"]] == [w["adapter"] for w in alone["ways"]]
    assert findings(found)["bystander"] == "that is no route's: it is not routed, and goes by main"
    assert (found["route"], found["mark"]) == (None, 0)
    for family in FAMILIES:
        assert (first(found, family)["adapter"], first(found, family)["table"]) == ("wan2", 254)
    assert found["caveats"] == []
    assert any("4400" in line and "goto 4699" in line for line in found["families"]["ipv4"])


@promise("EXPLAIN-02")
def test_people_are_told_the_same_as_programs(lab: Lab) -> None:
    with routed(lab) as command:
        found = told(lab, command)
        done = procroute(lab, "explain", str(command.ask("hello").pid))
    assert done.stderr == ""
    assert "IPv4 – leaves by wan1, from 198.51.100.2" in done.stdout
    for text in [*findings(found).values(), *found["families"]["ipv6"], *caveats(found).values()]:
        assert text in done.stdout


@promise("EXPLAIN-02")
def test_a_unit_is_found_by_its_name(lab: Lab) -> None:
    with routed(lab) as command, bystander(lab) as other:
        with moved(lab, other, "/web.service"):
            for name in ("web", "web.service"):
                found = told(lab, name)
                assert (found["route"], first(found, 4)["adapter"]) == (None, "wan2")
                assert found["subject"].endswith(f", the first of 1 process of {name}")
        with moved(lab, other, f"{target_of(command)}/web.service"):
            found = told(lab, "web")
            assert (found["route"], first(found, 6)["adapter"]) == ("wan1", "wan1")
            assert "started there as web.service" in findings(found)["assigned"]


@promise("EXPLAIN-02")
@both_families
def test_a_rule_that_leaves_defaults_out_does_not_decide_by_one(lab: Lab, family: int) -> None:
    """As wg-quick(8) has one."""
    lab.ip(f"-{family} rule add lookup main suppress_prefixlength 0 pref 32000")
    near = WAN2.gateway4 if family == 4 else WAN2.gateway6
    try:
        with bystander(lab) as other:
            assert first(told(lab, other), family)["preference"] == 32766
            found = told(lab, other, near)
            assert first(found, family)["preference"] == 32000
            text = "\n".join(found["families"][f"ipv{family}"])
            assert "lookup main suppress_prefixlength 0: decides" in text
    finally:
        lab.ip(f"-{family} rule del pref 32000")


@promise("EXPLAIN-02")
def test_where_its_name_servers_are_from(lab: Lab) -> None:
    index = lab.sh("cat /sys/class/net/wan1/ifindex").strip()
    folder = "/run/systemd/netif/links"
    lab.sh(f"mkdir -p {folder} && echo DNS={WAN1.dns6} > {folder}/{index}")
    with routed(lab) as own, routed(lab, "--dns", WAN1.dns4) as given:
        by = f"look-ups go to {WAN1.dns6} (of its adapter, by systemd-networkd):"
        assert findings(told(lab, own))["dns"].startswith(by)
        assert findings(told(lab, given))["dns"].startswith(
            f"look-ups go to {WAN1.dns4} (given for the route):"
        )
        lab.sh("rm -r /run/systemd/netif")
        by = f"look-ups go to {WAN1.dns6} (of its adapter; nobody keeps them now):"
        assert findings(told(lab, own))["dns"].startswith(by)


@promise("EXPLAIN-02", "HEALTH-08")
def test_the_health_of_its_adapter_is_told() -> None:
    with Lab(main="both") as lab:
        configure(lab, checks("wan1", kind_of_check("ping", 4), interval=0.3, down=2))
        with daemon(lab), placed(lab, ALICE) as command:
            until(lambda: found_health(lab, "wan1")["state"] == "up", 15)
            said = findings(told(lab, command))["health"]
            assert said.startswith("its adapter wan1 is up; its checks find it up since 20")
            lab.wan1.silence(forget=False)
            until(lambda: found_health(lab, "wan1")["state"] == "down", 15)
            said = findings(told(lab, command))["health"]
            since = time.localtime(found_health(lab, "wan1")["since"])
            when = time.strftime("%Y-%m-%d %H:%M:%S", since)
            assert said.startswith(
                f"its adapter wan1 is up; its checks find it down since {when}: ping 192.0.2.80"
            )
            lab.wan1.restore()
