"""Which name servers a route's look-ups go to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from procroute.core.door import Door
from procroute.core.lookups import elsewhere, lookups
from procroute.errors import ProcrouteError
from procroute.model import IPAddress, LiveRoute, Route
from tests.plans import words

MAIN = [
    "0.0.0.0/0 via 203.0.113.1 dev wan2",
    "0.0.0.0/0 via 198.51.100.1 dev wan1 metric 9",
    "10.0.0.0/8 dev tun0",
    "10.66.0.0/16 dev lan",
    "::/0 via 2001:db8:1::1 dev wan1",
    "unreachable 10.77.0.0/16",
]
ADAPTERS = [
    words.adapter("lo", 1, "127.0.0.1/8", loopback=True),
    words.adapter("wan1", 2, "198.51.100.2/24", "2001:db8:1::2/64", altnames=["dsl"]),
    words.adapter("wan2", 3, "203.0.113.2/24"),
    words.adapter("lan", 4, "192.168.1.2/24", "fd00:1::2/64"),
    words.adapter("tun0", 9, "10.8.0.2/32", tunnel=True),
]


def addresses(*texts: str) -> tuple[IPAddress, ...]:
    """Addresses of texts."""
    return tuple(map(ip_address, texts))


def ask(
    route: Route, own: tuple[str, ...] = (), system: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], list[str]]:
    """The servers of a route, as text, and what is said; own: the adapter's; system: the machine's."""
    machine = words.machine(*ADAPTERS, main=MAIN, resolvers=addresses(*system))
    found = lookups(machine, LiveRoute(route, 0), addresses(*own))
    assert not found.refused
    return tuple(map(str, found.servers)), list(found.notes)


@pytest.mark.promise("DNS-01", "CLI-12")
def test_given_servers_hold_against_everything() -> None:
    route = Route("wan1", dns=addresses("192.0.2.53", "2001:db8:53::1"))
    assert ask(route, ("198.51.100.53",), ("127.0.0.53",)) == (("192.0.2.53", "2001:db8:53::1"), [])


@pytest.mark.promise("DNS-01", "CLI-12")
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("server", "what"),
    [
        ("192.168.1.1", "on the LAN of lan; asked through wan1 it may not answer"),
        ("fd00:1::53", "on the LAN of lan; asked through wan1 it may not answer"),
        ("10.66.0.1", "on the LAN of lan; asked through wan1 it may not answer"),
        ("10.1.1.1", "on the LAN of tun0; asked through wan1 it may not answer"),
        ("10.77.0.1", "unreachable by main; asked through wan1 it may not answer"),
        ("127.0.0.53", "this machine, which looks up on its own route"),
        ("::1", "this machine, which looks up on its own route"),
        ("198.51.100.2", "this machine, which looks up on its own route"),
        ("fd00:1::2", "this machine, which looks up on its own route"),
    ],
)
def test_of_a_given_server_that_lies_elsewhere_it_is_said(strict: bool, server: str, what: str) -> None:
    found, said = ask(Route("wan1", strict, dns=addresses(server)))
    assert (found, said) == ((server,), [f"name server {server} is {what}"])


@pytest.mark.promise("CLI-12", "DNS-01")
@pytest.mark.parametrize(
    ("given", "why", "hint"),
    [
        (["192.0.2.53"], "name server 192.0.2.53 is of no use: wan1 has no IPv4 address", "give an IPv6 one"),
        (
            ["192.0.2.53", "192.168.1.1"],
            "name servers 192.0.2.53, 192.168.1.1 are of no use: wan1 has no IPv4 address",
            "give an IPv6 one",
        ),
        (["2001:db8::53"], "name server 2001:db8::53 is of no use: wan1 has no IPv6 ", "give an IPv4 one"),
        (["::1"], "name server ::1 is of no use: this kernel has no IPv6", "give an IPv4 one"),
    ],
)
def test_given_servers_of_a_family_that_the_adapter_lacks_are_refused(
    given: list[str], why: str, hint: str
) -> None:
    has = "2001:db8:1::2/64" if "192" in given[0] else "198.51.100.2/24"
    one = words.adapter("wan1", 2, has)
    here = words.machine(ADAPTERS[0], one, *ADAPTERS[2:], main=MAIN, ipv6=given != ["::1"])
    with pytest.raises(ProcrouteError) as caught:
        lookups(here, LiveRoute(Route("wan1", dns=addresses(*given)), 0), ())
    assert caught.value.code == "dns-bad"
    assert caught.value.message.startswith(why)
    assert caught.value.hint.startswith(hint)


@pytest.mark.promise("CLI-12", "DNS-01")
def test_some_given_servers_of_no_use_are_a_note() -> None:
    one = words.adapter("wan1", 2, "198.51.100.2/24")
    given = addresses("192.0.2.53", "2001:db8::53", "127.0.0.1")
    found = lookups(words.machine(one, main=MAIN[1:2]), LiveRoute(Route("wan1", dns=given), 0), ())
    assert found.servers == given
    assert found.notes == (
        "name server 2001:db8::53 is of no use now: wan1 has no IPv6 address",
        "name server 127.0.0.1 is this machine, which looks up on its own route",
    )


@pytest.mark.promise("CLI-12")
@pytest.mark.parametrize("strict", [False, True])
def test_a_server_on_the_adapters_own_link_needs_no_gateway(strict: bool) -> None:
    near, far = addresses("198.51.100.53"), addresses("192.0.2.53")
    here = words.machine(*ADAPTERS, main=["::/0 via 2001:db8:1::1 dev wan1"])
    assert lookups(here, LiveRoute(Route("wan1", strict, dns=near), 0), ()).notes == ()
    with pytest.raises(ProcrouteError, match="of no use: wan1 has no IPv4 gateway"):
        lookups(here, LiveRoute(Route("wan1", strict, dns=far), 0), ())


@pytest.mark.promise("DNS-03", "CLI-12")
def test_system_leaves_them_alone() -> None:
    assert ask(Route("wan1", strict=True, dns=()), ("198.51.100.53",)) == ((), [])


@pytest.mark.promise("DNS-02")
def test_the_adapters_own_come_next_but_link_local_ones() -> None:
    assert ask(Route("wan1"), ("fe80::1", "198.51.100.53"), ("192.0.2.53",)) == (("198.51.100.53",), [])


@pytest.mark.promise("DNS-02")
def test_three_of_a_family_are_enough() -> None:
    own = tuple(f"198.51.100.{n}" for n in range(50, 55)) + tuple(f"2001:db8:1::{n}" for n in range(1, 6))
    found, _ = ask(Route("wan1"), own)
    assert found == (*own[:3], *own[5:8])
    Door(frozenset({2}), dns_servers=addresses(*found))


@pytest.mark.promise("DNS-02")
def test_the_systems_that_lie_behind_the_adapter_are_asked_through_it() -> None:
    system = ("127.0.0.53", "192.168.1.1", "10.1.1.1", "192.0.2.53", "198.51.100.53")
    assert ask(Route("wan1"), (), system) == (("192.0.2.53", "198.51.100.53"), [])


PAST, AWAY = "the system's ({}) would be asked past it", "the system's ({}) cannot be reached with --strict"


@pytest.mark.promise("DNS-06", "LAN-06")
@pytest.mark.parametrize(
    ("system", "why", "strictly"),
    [
        ((), None, None),
        (("127.0.0.53",), PAST.format("127.0.0.53"), PAST.format("127.0.0.53")),
        (("203.0.113.2",), PAST.format("203.0.113.2"), PAST.format("203.0.113.2")),
        (("192.168.1.1",), PAST.format("192.168.1.1"), AWAY.format("192.168.1.1")),
        (("fe80::1%wan2",), PAST.format("fe80::1%wan2"), AWAY.format("fe80::1%wan2")),
        (("fe80::1%wan1", "fe80::1%3"), PAST.format("fe80::1%3"), AWAY.format("fe80::1%3")),
        (("fe80::1",), PAST.format("fe80::1"), AWAY.format("fe80::1")),
        (
            ("192.168.1.1", "127.0.0.1"),
            PAST.format("192.168.1.1, 127.0.0.1"),
            f"{PAST.format('127.0.0.1')}, and {AWAY.format('192.168.1.1')}",
        ),
    ],
)
def test_a_route_does_not_ask_past_its_adapter_unasked(
    system: tuple[str, ...], why: str | None, strictly: str | None
) -> None:
    machine = words.machine(*ADAPTERS, main=MAIN, resolvers=addresses(*system))
    for strict, says in ((False, why), (True, strictly)):
        found = lookups(machine, LiveRoute(Route("wan1", strict=strict), 0), ())
        assert (found.servers, found.refused) == ((), True)
        first, what = found.notes
        known = f"; {says}" if says else ", nor any configured on this machine"
        assert first == f"no name server is known for wan1{known}"
        assert "--dns ADDRESS" in what
        assert "--dns system" in what


@pytest.mark.promise("DNS-06")
@pytest.mark.parametrize("zone", ["wan1", "2", "dsl"])
def test_the_systems_link_local_ones_on_the_adapter_are_left(zone: str) -> None:
    servers, said = ask(Route("wan1"), (), (f"fe80::1%{zone}",))
    assert (servers, said) == (
        (),
        [f"only link-local name servers are known for wan1: look-ups go to fe80::1%{zone} alone"],
    )


@pytest.mark.parametrize(
    ("server", "away"),
    [
        ("127.0.0.53", True),
        ("203.0.113.2", True),
        ("198.51.100.2", True),
        ("192.168.1.1", True),
        ("10.1.1.1", True),
        ("203.0.113.53", True),
        ("fd00:1::53", True),
        ("198.51.100.53", False),
        ("192.0.2.53", False),
        ("2001:db8:53::1", False),
        ("fe80::1%wan1", False),
        ("fe80::1%wan2", True),
        ("fe80::1", True),
    ],
)
def test_what_lies_elsewhere(server: str, away: bool) -> None:
    machine = words.machine(*ADAPTERS, main=MAIN)
    assert elsewhere(machine, LiveRoute(Route("wan1"), 1), ip_address(server)) is away


@pytest.mark.parametrize(
    ("dns", "code"),
    [
        (("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"), "door-dns-servers"),
        (("fe80::1",), "door-dns-servers"),
    ],
)
def test_a_door_refuses_servers_that_it_cannot_serve(dns: tuple[str, ...], code: str) -> None:
    with pytest.raises(ProcrouteError) as caught:
        Door(frozenset({2}), dns_servers=addresses(*dns))
    assert caught.value.code == code


def test_a_door_brings_itself_into_one_form() -> None:
    one = Door(frozenset({2}), dns_servers=addresses("2001:db8::1", "::ffff:192.0.2.1", "192.0.2.1"))
    other = Door(frozenset({2}), dns_servers=addresses("192.0.2.1", "2001:db8::1"))
    assert one == other
    assert Door(frozenset({2}), resolvers=addresses("127.0.0.53")).resolvers == ()
