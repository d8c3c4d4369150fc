"""Each cell of the table of docs/leaks.md: whether an attempt gets anything out by another adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from procroute.identity import Identity
from procroute.lab import Lab
from tests.netns.attempts import Attempt, attempted
from tests.netns.daemons import for_users
from tests.netns.inhabitants import PROBE, RUN, Command, Inhabitant, bystander, commanded, routed
from tests.netns.traffic import SERVER, both_families, elsewhere, gateway, own_address

promise = pytest.mark.promise
PAGE: Final = Path(__file__).parents[2] / "docs/leaks.md"
WHO: Final[dict[str, tuple[str, ...]]] = {
    "root": (),
    "root, strict": ("--strict",),
    "a user": ("--user", "1000"),
    "a user, strict": ("--user", "1000", "--strict"),
}
OTHER: Final = "{other}"
"""Stands for the mark of the other route."""

ATTEMPTS: Final[dict[str, list[Attempt]]] = {
    "SO_BINDTODEVICE, IP_UNICAST_IF": [
        *((way, {"device": "wan2"}) for way in ("tcp", "udp", "unconnected")),
        ("ping", {"by": "wan2"}),
        ("unconnected", {"unicast": "wan2"}),
    ],
    "bound to another adapter's address": [
        *((way, {"source": "{wan2}"}) for way in ("tcp", "udp", "unconnected")),
        ("tcp", {"source": "{wan2}", "device": "wan2"}),
    ],
    "IP_PKTINFO, IPV6_PKTINFO": [
        ("unconnected", {"pktinfo_from": "{wan2}"}),
        ("unconnected", {"pktinfo_by": "wan2"}),
        ("unconnected", {"pktinfo_from": "{wan2}", "pktinfo_by": "wan2"}),
    ],
    "raw socket": [
        ("raw", {"kind": "raw", "device": "wan2"}),
        ("raw", {"kind": "raw", "source": "{wan2}"}),
        ("raw", {"kind": "header", "source": "{wan2}", "device": "wan2"}),
    ],
    "packet socket": [("raw", {"kind": "packet", "source": "{wan2}", "device": "wan2"})],
    "SO_MARK: none": [(way, {"mark": 0}) for way in ("tcp", "udp", "unconnected")],
    "SO_MARK: of another route": [(way, {"mark": OTHER}) for way in ("tcp", "udp", "unconnected")],
}


def cells() -> dict[str, dict[str, str]]:
    """The table: attempt to who to what comes of it."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    head, _, *rest = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rest}


def words(python: str, *options: str) -> list[str]:
    """A probe by wan1 that everybody may execute."""
    return [*RUN, "--via", "wan1", *options, "--", python, *PROBE[1:]]


class Place(NamedTuple):
    """who: as the table names it. command: by wan1, where main prefers wan2. mark: of another route."""

    who: str
    command: Command
    outside: Inhabitant
    mark: int

    def comes_of(self, attempt: Attempt, family: int) -> str:
        """What comes of an attempt, in the table's words."""
        way, options = attempt
        if options.get("mark") == OTHER:
            options = options | {"mark": self.mark}
        self.command.changes_marks = True
        return came_out(self.command, partial(attempted, self.command, (way, options), family))


@pytest.fixture(scope="module", params=WHO)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Of each of them."""
    with (
        Lab(main="both") as lab,
        for_users(lab) as python,
        commanded(lab, words(python, *WHO[request.param])) as command,
        routed(lab, via="wan2") as other,
        bystander(lab) as outside,
    ):
        lab.sysctl("net/ipv4/ping_group_range", "0 2147483647")
        mark = other.ask("udp", to=SERVER[4]).mark
        assert Identity().number(mark)
        yield Place(request.param, command, outside, mark)


def came_out(command: Command, attempt: Callable[[], object]) -> str:
    """The same of what is tried by `attempt`."""
    command.lab.clear()
    attempt()
    return "leaves" if elsewhere(command.lab, "wan1") else "nothing"


@promise("LEAK-09")
@pytest.mark.parametrize("row", ATTEMPTS)
@both_families
def test_what_comes_of_an_attempt(place: Place, family: int, row: str) -> None:
    said = cells()[row][place.who]
    assert [place.comes_of(attempt, family) for attempt in ATTEMPTS[row]] == [said] * len(ATTEMPTS[row])


@promise("LEAK-09")
@both_families
def test_what_comes_of_a_socket_from_outside(place: Place, family: int) -> None:
    said = cells()["a socket from outside"][place.who]
    for kind in ("tcp", "udp"):
        path, name = f"\0{kind}{family}", f"handed {kind}"
        assert not place.command.ask("await_handed", path=path, name=name).error
        assert not place.outside.ask("hand", path=path, kind=kind, family=family).error
        assert (
            came_out(place.command, partial(place.command.ask, "reach", name=name, to=SERVER[family])) == said
        )


@promise("LEAK-09")
def test_no_ipv6_packet_passes_for_an_ipv4_one(place: Place) -> None:
    """The guard has IPv4 addresses as ::ffff:a.b.c.d; in an IPv6 header that is no host of the LAN."""
    lab, ask = place.command.lab, place.command.ask
    given = {"source": own_address(lab.wan2, 6), "says": f"::ffff:{gateway(lab.wan2, 4)}"}
    send = partial(ask, "raw", kind="header", to=gateway(lab.wan2, 6), **given)
    assert came_out(place.command, send) == "nothing"


@promise("LEAK-09")
def test_every_row_is_tried() -> None:
    assert cells().keys() == ATTEMPTS.keys() | {"a socket from outside"}


@promise("NEG-02")
@both_families
def test_without_the_guard_and_the_mark_they_leave(family: int) -> None:
    """Whoever may: those of a user need no right but for raw and packet sockets and marks."""
    with (
        Lab(main="both") as lab,
        for_users(lab) as python,
        commanded(lab, words(python, "--user", "1000")) as command,
    ):
        command.switch_off("mark", "guard", "attempt")
        for row in (
            "SO_BINDTODEVICE, IP_UNICAST_IF",
            "bound to another adapter's address",
            "IP_PKTINFO, IPV6_PKTINFO",
        ):
            for attempt in ATTEMPTS[row]:
                assert came_out(command, partial(attempted, command, attempt, family)) == "leaves"
