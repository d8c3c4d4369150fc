"""A route goes on knowing the name servers that the system once had."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from procroute.core.desired import door
from procroute.core.door import RESOLVERS, Door
from procroute.model import IPAddress, LiveRoute, Route
from tests.plans import words

LIVE = LiveRoute(Route("wan1", dns=(ip_address("192.0.2.53"),)), 1, servers=(ip_address("192.0.2.53"),))


def after(now: tuple[IPAddress, ...], before: Door | None) -> Door:
    """The door once the system has these."""
    return door(words.machine(words.adapter("wan1", 2), resolvers=now), LIVE, before)


def addresses(*numbers: int) -> tuple[IPAddress, ...]:
    return tuple(IPv4Address((203 << 24) + n) for n in numbers)


def test_new_ones_come_behind_and_old_ones_stay() -> None:
    first = after(addresses(1, 2), None)
    second = after(addresses(3, 2), first)
    assert first.resolvers == addresses(1, 2)
    assert second.resolvers == addresses(1, 2, 3)
    # Who sees other files, as a run in a run does, changes nothing.
    assert after(addresses(1, 2), second) == second


def test_the_oldest_make_room_and_none_of_the_systems() -> None:
    full = after(addresses(*range(RESOLVERS)), None)
    found = after(addresses(0, 100, 101), full)
    assert found.resolvers == addresses(0, *range(3, RESOLVERS), 100, 101)
    assert after(addresses(0, 100, 101), found) == found
    assert after(addresses(*range(200, 300)), found).resolvers == addresses(*range(200, 200 + RESOLVERS))
