"""What a user can get wrong is told in one line and a hint, with its status, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import WAN1, Lab
from tests.netns.refusals import Wrong, in_vain, refused
from tests.netns.running import procroute, unchanged, until
from tests.netns.uplinks import configured

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.sh("mkdir -p /run/mount")  # umount(8) makes it
        yield lab


USAGE = {
    "no verb": ((), "no verb was given"),
    "unknown verb": (("walk",), "unknown verb walk"),
    "no adapter": (("run", "--", "true"), "no adapter was given"),
    "no command": (("run", "--via", "wan1", "--"), "no command was given"),
    "unknown option": (("cleanup", "--hard"), "unknown option --hard"),
    "gateway4": (
        ("run", "--via", "wan1", "--gateway4", "fd00::1", "--", "true"),
        "argument --gateway4: fd00::1 is",
    ),
    "gateway6": (
        ("run", "--via", "wan1", "--gateway6", "10.0.0.1", "--", "true"),
        "argument --gateway6: 10.0.0.1",
    ),
    "no address": (
        ("run", "--via", "wan1", "--gateway4", "nonsense", "--", "true"),
        "argument --gateway4: nonsense",
    ),
    "dns": (
        ("run", "--via", "wan1", "--dns", "9.9.9.9,nonsense", "--", "true"),
        "argument --dns: '9.9.9.9,nonsense'",
    ),
    "no name": (("run", "--via", "", "--", "true"), "argument --via: is empty"),
    "no user": (("run", "--via", "wan1", "--user", "", "--", "true"), "argument --user: is empty"),
    "twice": (("run", "--via", "wan1", "--via", "wan2", "--", "true"), "--via was given twice"),
    "empty dns": (("run", "--via", "wan1", "--dns", "", "--", "true"), "argument --dns: ''"),
}


@promise("ERR-08", "CLI-11", "CLI-12")
@pytest.mark.parametrize("name", USAGE)
def test_a_command_line_that_makes_no_sense(lab: Lab, name: str) -> None:
    words, says = USAGE[name]
    with unchanged(lab):
        assert not refused(procroute(lab, *words), Wrong(says, " ", status=2))


HERE = "wan1, wan2; without a way out now: lan0"
ADAPTERS = {
    "a slip": Wrong("there is no adapter wan9", "did you mean wan1 or wan2? ", ("--via", "wan9")),
    "the candidates": Wrong("there is no adapter x", f"adapters here: {HERE}", ("--via", "x")),
    "as ip(8) lists it": Wrong("there is no adapter wan1@if2", "did you mean wan1? ", ("--via", "wan1@if2")),
    "in capitals": Wrong("there is no adapter WAN1", "did you mean wan1? ", ("--via", "WAN1")),
    "its address": Wrong(
        "198.51.100.2 is an address", "did you mean --via wan1? ", ("--via", "198.51.100.2")
    ),
    "its gateway": Wrong(
        "2001:db8:1::1 is an address",
        "did you mean --via wan1 --gateway6 2001:db8:1::1? ",
        ("--via", "2001:db8:1::1"),
    ),
    "loopback": Wrong("lo is the loopback", "", ("--via", "lo")),
}


def unplug(lab: Lab) -> None:
    """Carrier lost, and the kernel has told everybody (linkwatch takes up to a second)."""
    lab.wan1.carrier(on=False)
    until(lambda: "linkdown" in lab.ip("route show dev wan1"))


DOWN = {
    "down": Wrong("adapter wan1 is down", "ip link set wan1 up", make=lambda lab: lab.wan1.down()),
    "no carrier": Wrong("adapter wan1 has no carrier", "cable or modem", make=unplug),
    "no address": Wrong(
        "adapter wan1 has no usable address", "DHCP", make=lambda lab: lab.ip("address flush dev wan1")
    ),
}
ROUTERS = "the router's address on the LAN of wan1"
GATEWAYS = {
    "not on an adapter without that family": Wrong(
        "gateway 198.51.100.1 is of no use: wan1 has no IPv4 address",
        "",
        ("--via", "wan1", "--gateway4", "198.51.100.1"),
        lambda lab: lab.wan1.drop_address(4),
    ),
    "own address": Wrong(
        "198.51.100.2 is this machine's own address", ROUTERS, ("--via", "wan1", "--gateway4", "198.51.100.2")
    ),
    "own IPv6 address": Wrong(
        "2001:db8:2::2 is this machine's own address",
        ROUTERS,
        ("--via", "wan1", "--gateway6", "2001:db8:2::2"),
    ),
    "multicast": Wrong(
        "224.0.0.1 cannot be a gateway", ROUTERS, ("--via", "wan1", "--gateway4", "224.0.0.1")
    ),
    "multicast in IPv6": Wrong(
        "ff02::2 cannot be a gateway", ROUTERS, ("--via", "wan1", "--gateway6", "ff02::2")
    ),
    "no address at all": Wrong(
        "0.0.0.0 cannot be a gateway", ROUTERS, ("--via", "wan1", "--gateway4", "0.0.0.0")
    ),
}
OTHERS = {
    "a link-local name server": Wrong(
        "argument --dns: fe80::1 is link-local",
        "procroute run --help",
        ("--via", "wan1", "--dns", "fe80::1"),
        status=2,
    ),
    "too many name servers": Wrong(
        "a route has at most 3 IPv4 name servers",
        "",
        ("--via", "wan1", "--dns", "192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4"),
    ),
    "an unknown user": Wrong(
        "there is no user nobody-knows", "getent", ("--via", "wan1", "--user", "nobody-knows")
    ),
    "an impossible uid": Wrong(
        "there is no user 99999999999999999999", "", ("--via", "wan1", "--user", "99999999999999999999")
    ),
}


@promise("ERR-01", "ERR-08")
@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_that_cannot_be_meant(lab: Lab, name: str) -> None:
    assert not in_vain(lab, ADAPTERS[name])


@promise("ERR-01")
def test_a_misspelt_route_of_the_configuration(lab: Lab) -> None:
    with configured(lab, '[route.always]\nadapters = ["wan1", "wan2"]\n'):
        told = procroute(lab, "run", "--via", "alwys", "--", "true").stderr
    assert "did you mean the route always?" in told
    assert "; routes: always" in told


@promise("ERR-02")
@pytest.mark.parametrize("name", DOWN)
def test_an_adapter_that_cannot_be_used_now(lab: Lab, name: str) -> None:
    try:
        assert not in_vain(lab, DOWN[name])
    finally:
        lab.wan1.restore()


@promise("ERR-03", "CLI-11")
@pytest.mark.parametrize(
    ("families", "hint"),
    [
        ("46", "--gateway4 ADDRESS or --gateway6 ADDRESS"),
        ("4", "--gateway4 ADDRESS"),
        ("6", "--gateway6 ADDRESS"),
    ],
)
def test_no_gateway_is_known(families: str, hint: str) -> None:
    with Lab(main="none", families={"wan1": families}) as lab:  # type: ignore[dict-item]
        wrong = Wrong("no gateway is known for wan1", f"give it: {hint}")
        assert not in_vain(lab, wrong)


@promise("ERR-03", "CLI-11")
def test_gateways_in_tables_for_some_sources_are_named() -> None:
    """How servers with two uplinks are often set up: a table for each source, and main with neither."""
    with Lab(main="none") as lab:
        for family, gateway, address in (
            (4, WAN1.gateway4, WAN1.address4),
            (6, WAN1.gateway6, WAN1.address6),
        ):
            lab.ip(f"-{family} route add default via {gateway} dev wan1 table 50")
            lab.ip(f"-{family} rule add pref 30000 from {address} table 50")
        both = f"--gateway4 {WAN1.gateway4} (of table 50) --gateway6 {WAN1.gateway6} (of table 50)"
        assert not in_vain(lab, Wrong("no gateway is known for wan1", f"give it: {both}"))


@promise("ERR-03", "CLI-11")
@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_that_cannot_be_one(lab: Lab, name: str) -> None:
    try:
        assert not in_vain(lab, GATEWAYS[name])
    finally:
        lab.wan1.restore()


@promise("ERR-08", "CLI-10", "CLI-12")
@pytest.mark.parametrize("name", OTHERS)
def test_other_things_that_cannot_be(lab: Lab, name: str) -> None:
    if "uid" in name:
        done = procroute(lab, "run", *OTHERS[name].options, "--", "true")
        assert done.returncode == 125
        assert done.stderr.startswith(f"procroute: {OTHERS[name].says}")
    else:
        assert not in_vain(lab, OTHERS[name])
