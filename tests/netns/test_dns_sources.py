"""Who keeps name servers for an adapter is named, asked in an order, and followed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from procroute.kernel import programs
from procroute.lab import WAN1, Lab
from procroute.lab.names import WHO
from procroute.lab.topology import TUN
from tests.netns.daemons import ALICE, daemon, placed
from tests.netns.inhabitants import Command, routed
from tests.netns.resolving import BY_GLIBC, SYSTEM4, SYSTEM6, astray, look_up, wrong
from tests.netns.running import procroute, run_by, until
from tests.netns.test_learnt_gateways import network_manager
from tests.netns.test_reload import configure

promise = pytest.mark.promise
OLD: Final = {"IPv4": "192.0.2.54", "IPv6": "2001:db8:ffff::54"}
NEW: Final = {"IPv4": WAN1.dns4, "IPv6": WAN1.dns6}
each_family = pytest.mark.parametrize("family", ["IPv4", "IPv6"])
_LEASE: Final = """lease {{
  interface "wan1";
  fixed-address {address};
  option domain-name-servers {server};
}}
"""
_LEASE6: Final = """lease6 {{
  interface "wan1";
  ia-na 00:00:00:01 {{
    iaaddr {address} {{
    }}
  }}
  option dhcp6.name-servers {server};
}}
"""


def lease(family: str, server: str, address: str = "") -> str:
    """As dhclient notes it."""
    own = WAN1.address4 if family == "IPv4" else WAN1.address6
    return (_LEASE if family == "IPv4" else _LEASE6).format(address=address or own, server=server)


# Who, and the file that it has, and its text for a server of a family; in the order in which they are asked.
SOURCES: Final[dict[str, tuple[str, Callable[[str, str], str]]]] = {
    "systemd-networkd": ("/run/systemd/netif/links/{ifindex}", lambda _, s: f"DNS={s}\n"),
    "systemd-resolved": ("/run/systemd/resolve/netif/{ifindex}", lambda _, s: f"SERVERS={s}\n"),
    "networkd lease": ("/run/systemd/netif/leases/{ifindex}", lambda _, s: f"DNS={s}\n"),
    "resolvconf": ("/run/resolvconf/interface/wan1.dhclient", lambda _, s: f"nameserver {s}\n"),
    "dhcpcd": ("/run/dhcpcd/hook-state/resolv.conf/wan1.dhcp", lambda _, s: f"nameserver {s}\n"),
    "DHCP lease": ("/var/lib/dhcp/dhclient.leases", lease),
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(main="both") as lab:
        lab.sh("mount -t tmpfs var /var/lib")
        yield lab


def tell(lab: Lab, who: str, family: str, server: str) -> str:
    """Have somebody keep a server for wan1, by a new file that takes the place of an old one; its path."""
    name, text = SOURCES[who]
    file = name.format(ifindex=lab.sh("cat /sys/class/net/wan1/ifindex").strip())
    new = lab.path(f"{file}.new")
    new.parent.mkdir(parents=True, exist_ok=True)
    new.write_text(text(family, server))
    lab.sh(f"mv {file}.new {file}")
    return file


@contextmanager
def kept(lab: Lab, who: str, family: str, server: str) -> Iterator[None]:
    file = tell(lab, who, family, server)
    try:
        yield
    finally:
        lab.sh(f"rm -f {file}")


def told(lab: Lab, adapter: str = "wan1") -> list[tuple[str, list[str]]]:
    """Who keeps which servers for an adapter, as `adapters` tells."""
    found = json.loads(procroute(lab, "adapters", "--json").stdout)["adapters"]
    (dns,) = (one["dns"] for one in found if one["name"] == adapter)
    first = dns["sources"][0] if dns["sources"] else {"servers": [], "learnt": ""}
    assert (dns["servers"], dns["learnt"]) == (first["servers"], first["learnt"])
    return [(one["learnt"], one["servers"]) for one in dns["sources"]]


@promise("DNS-11", "DNS-02")
@each_family
@pytest.mark.parametrize("who", SOURCES)
def test_each_is_named_and_its_servers_are_asked(lab: Lab, who: str, family: str) -> None:
    with kept(lab, who, family, OLD[family]):
        assert told(lab) == [(who, [OLD[family]])]
        answers = look_up(lab, *BY_GLIBC, by=run_by("wan1"))
        assert not wrong(answers)
        assert not astray(lab)
        assert {query.server for query in lab.wan1.queries()} == {OLD[family]}
    assert not told(lab)


@promise("DNS-11")
def test_the_first_is_asked(lab: Lab) -> None:
    files = []
    for number, who in enumerate(SOURCES):
        files.append(tell(lab, who, "IPv4", f"192.0.2.{100 + number}"))
    try:
        assert [who for who, _ in told(lab)] == [*SOURCES]
        for file, (_, (server,)) in zip(files, told(lab), strict=True):
            look_up(lab, "glibc", "4", by=run_by("wan1"))
            assert {query.server for query in lab.wan1.queries()} == {server}
            lab.sh(f"rm {file}")
    finally:
        lab.sh(f"rm -f {' '.join(files)}")


@promise("DNS-11")
def test_what_is_another_adapters_or_over_is_nobodys(lab: Lab) -> None:
    lab.sh("mkdir -p /var/lib/dhcp /run/resolvconf/interface")
    leases = lab.path("/var/lib/dhcp/dhclient.leases")
    leases.write_text(
        lease("IPv4", "192.0.2.9", "198.51.100.77") + lease("IPv6", "2001:db8::9", "2001:db8::7")
    )
    lab.path("/run/resolvconf/interface/wan1.5").write_text("nameserver 192.0.2.9\n")
    lab.path("/run/resolvconf/interface/wan10").write_text("nameserver 192.0.2.9\n")
    try:
        assert not told(lab)
        leases.write_text(lease("IPv4", "192.0.2.9") + lease("IPv4", "192.0.2.10, 192.0.2.11"))
        assert told(lab) == [("DHCP lease", ["192.0.2.10", "192.0.2.11"])]
    finally:
        lab.sh("rm -r /var/lib/dhcp /run/resolvconf")


@promise("DNS-11")
@each_family
def test_wg_quicks_are_roots_to_see(family: str) -> None:
    with Lab(main="both") as lab:
        lab.add(TUN, tunnel=True)
        lab.sh("mkdir -p /etc/wireguard && chmod 700 /etc/wireguard")
        text = f"[Interface]\nDNS = {OLD[family]}, example.org # home\n[Peer]\nDNS = 192.0.2.9\n"
        lab.path("/etc/wireguard/tun0.conf").write_text(text)
        assert told(lab, "tun0") == [("wg-quick", [OLD[family]])]
        look_up(lab, "glibc", "4", by=run_by("tun0"))
        assert {query.server for query in lab.uplinks["tun0"].queries()} == {OLD[family]}


def names(lab: Lab, who: Command, *ways: list[str]) -> list[dict[str, str]]:
    """Its answers, in these ways; captures hold only this."""
    lab.clear()
    found: list[dict[str, str]] = json.loads(who.ask("names", name=WHO, ways=[*ways]).said)
    lab.settle()
    return found


def asked_by_glibc(lab: Lab, who: Command) -> set[str]:
    """Whom glibc asks in it, which must answer by wan1 and nobody else."""
    answers = names(lab, who, ["glibc", "4"], ["glibc", "6"])
    assert [answer["router"] or answer["error"] for answer in answers] == ["wan1", "wan1"]
    assert not astray(lab)
    return {query.server for query in lab.wan1.queries()}


@promise("DNS-12")
@each_family
@pytest.mark.parametrize("who", SOURCES)
def test_other_servers_are_followed(lab: Lab, who: str, family: str) -> None:
    """Also by what has read of the old ones, which seem to answer."""
    system = SYSTEM4 if family == "IPv4" else SYSTEM6
    with kept(lab, who, family, OLD[family]), routed(lab) as command:
        assert asked_by_glibc(lab, command) == {OLD[family]}
        tell(lab, who, family, NEW[family])
        until(lambda: asked_by_glibc(lab, command) == {NEW[family]}, 2)
        ways = [[way, server] for way in ("connected", "sent", "tcp") for server in (OLD[family], system)]
        for answer in names(lab, command, *ways):
            assert (answer["router"], answer["sender"]) == ("wan1", answer["way"].split()[1])
        assert {query.server for query in lab.wan1.queries()} == {NEW[family]}
        lab.sh(f"rm {SOURCES[who][0].format(ifindex='*')}")
        assert asked_by_glibc(lab, command) == {NEW[family]}, "nobody keeps any now"


@promise("DNS-12")
@each_family
def test_without_the_engine_they_would_not_be_followed(lab: Lab, family: str) -> None:
    with kept(lab, "resolvconf", family, OLD[family]), routed(lab) as command:
        command.freeze()
        tell(lab, "resolvconf", family, NEW[family])
        assert asked_by_glibc(lab, command) == {OLD[family]}
        command.thaw()
        until(lambda: asked_by_glibc(lab, command) == {NEW[family]}, 2)


@pytest.mark.not_sandboxed("systemd-resolved of that machine knows servers of wan1")
@promise("DNS-12", "DNS-06")
def test_servers_that_come_later_end_the_refusal() -> None:
    with Lab(main="both") as lab:
        lab.path("/etc/resolv.conf").write_text(f"nameserver {SYSTEM4}\n")
        with routed(lab) as command:
            (answer,) = names(lab, command, ["sent", SYSTEM4])
            assert answer["error"] == "ENETUNREACH"
            tell(lab, "systemd-networkd", "IPv4", NEW["IPv4"])
            until(lambda: names(lab, command, ["sent", SYSTEM4])[0]["router"] == "wan1", 2)
            assert not astray(lab)


@pytest.mark.not_sandboxed("that machine has a bus, on which nobody may be NetworkManager")
@promise("DNS-12", "DNS-11")
def test_network_managers_are_followed() -> None:
    with Lab(main="both") as lab:
        first = network_manager(lab, dns=(OLD["IPv4"], OLD["IPv6"]))
        assert told(lab) == [("NetworkManager", [OLD["IPv4"], OLD["IPv6"]])]
        with routed(lab) as command:
            assert asked_by_glibc(lab, command) <= {*OLD.values()}
            first.kill_session()
            network_manager(lab, dns=(NEW["IPv4"], NEW["IPv6"]))
            until(lambda: asked_by_glibc(lab, command) <= {*NEW.values()}, 3)
            assert programs.attached(command.target) is not None


@promise("DNS-11", "DNS-12", "DAEMON-10")
@each_family
def test_the_configurations_hold_against_all(lab: Lab, family: str) -> None:
    """And are followed when it is read again, and let go."""
    given = {"IPv4": "192.0.2.77", "IPv6": "2001:db8:ffff::77"}[family]
    configure(lab, f'[adapter.wan1]\ndns = "{given}"\n')
    with kept(lab, "systemd-networkd", family, OLD[family]):
        assert told(lab) == [("configuration", [given]), ("systemd-networkd", [OLD[family]])]
        with routed(lab) as embedded:
            assert asked_by_glibc(lab, embedded) == {given}
        with daemon(lab), placed(lab, ALICE) as command:
            assert asked_by_glibc(lab, command) == {given}
            configure(lab, f'[adapter.wan1]\ndns = "{NEW[family]}"\n')
            assert procroute(lab, "reload").returncode == 0
            until(lambda: asked_by_glibc(lab, command) == {NEW[family]}, 2)
            configure(lab, "")
            assert procroute(lab, "reload").returncode == 0
            until(lambda: asked_by_glibc(lab, command) == {OLD[family]}, 2)
