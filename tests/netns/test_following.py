"""What changes while a command runs is followed; and how soon after the netlink event our state is right.

Each change is made and undone three times, and more often while a busy machine is slow; the best counts.
Meanwhile a routed program asks on and on, and nothing of it may come out by another adapter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Final

import pytest

from procroute.core.door import Door
from procroute.kernel import programs
from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.advertise import advertise
from tests.netns.inhabitants import Command, routed
from tests.netns.running import until
from tests.netns.steadily import Steady
from tests.netns.stopwatch import ADDRESSES, ENTRIES, LINKS, Stopwatch
from tests.netns.traffic import FAMILIES, WAYS, astray, elsewhere

promise = pytest.mark.promise
SOON: Final = 100.0 * FACTOR
"""Milliseconds."""
TRIES: Final = 3
AT_MOST: Final = 10
ROUTER, NEW_ROUTER = ("198.51.100.1", "2001:db8:1::1"), ("198.51.100.9", "2001:db8:1::9")


@dataclass(frozen=True, slots=True)
class State:
    """How it shall be. shown: (family, what follows `ip route show table 7301`, words to be found or not)."""

    make: Callable[[Lab], None]
    shown: tuple[tuple[int, str, str, bool], ...]
    door: Callable[[Door], bool] = lambda _: True
    looked: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """From one state to the other and back. awaited: the kinds of the netlink event that counts."""

    there: State
    back: State
    awaited: frozenset[int] = ENTRIES
    families: tuple[int, ...] = FAMILIES


def defaults(*via: str, found: bool = True) -> tuple[tuple[int, str, str, bool], ...]:
    """The route's default leads by these, in their families, or does not."""
    return tuple((ip_address(v).version, "default", f"via {v} ", found) for v in via)


def batch(*lines: str) -> Callable[[Lab], None]:
    """Commands of ip(8), in one process."""
    return lambda lab: lab.batch("\n".join([*lines, ""]))


def routers(kind: str, old: tuple[str, str], new: tuple[str, str]) -> Callable[[Lab], None]:
    """What DHCP clients do at a renewal with another gateway."""
    lines = []
    for family, gone, come in zip(("-4", "-6"), old, new, strict=True):
        everything = "default" if family == "-4" else "::/0"
        where = f"{everything} via {{}} dev wan1 metric 200 proto dhcp"
        add, delete = f"append {where.format(come)}", f"del {where.format(gone)}"
        if kind == "replace":
            lines.append(f"route replace {where.format(come)}")
        else:
            lines += [f"route {what}" for what in ((add, delete) if kind == "add first" else (delete, add))]
    return batch(*lines)


def renewal(kind: str) -> Change:
    """The gateways change, and change back."""
    return Change(
        State(routers(kind, ROUTER, NEW_ROUTER), defaults(*NEW_ROUTER)),
        State(routers(kind, NEW_ROUTER, ROUTER), defaults(*ROUTER)),
    )


def addresses(old: tuple[str, str], new: tuple[str, str]) -> State:
    """wan1 has other addresses in the same subnets; main gets its defaults again."""
    lines = [f"address del {old[0]}/24 dev wan1", f"address del {old[1]}/64 dev wan1"]
    lines += [f"address add {new[0]}/24 dev wan1", f"address add {new[1]}/64 dev wan1 nodad"]
    lines += [f"route replace default via {ROUTER[0]} dev wan1 metric 200 proto dhcp"]
    return State(
        batch(*lines),
        defaults(*ROUTER),
        lambda door: {ip_address(n) for n in new} <= {address for address, _ in door.addresses},
        looked=True,
    )


LAN = ("10.55.0.0/16", "fd55::/16")


def lan(word: str) -> State:
    """A LAN behind a router on lan0."""
    lines = [
        f"route {word} {LAN[0]} via 192.168.50.1 dev lan0",
        f"route {word} {LAN[1]} via fd50::1 dev lan0",
    ]
    there = word == "add"
    shown = tuple((version, prefix, "dev lan0", there) for version, prefix in zip(FAMILIES, LAN, strict=True))

    def right(door: Door) -> bool:
        return all((prefix in {p for p, _ in door.lan}) is there for prefix in map(ip_network, LAN))

    return State(batch(*lines), shown, right, looked=True)


NOWHERE = tuple((family, "default", "via", False) for family in FAMILIES)

CHANGES: Final = {
    "gateway replaced": renewal("replace"),
    "gateway added, old one deleted": renewal("add first"),
    "gateway deleted, new one added": renewal("delete first"),
    "LAN": Change(lan("add"), lan("del")),
    "addresses": Change(
        addresses(("198.51.100.2", "2001:db8:1::2"), ("198.51.100.22", "2001:db8:1::22")),
        addresses(("198.51.100.22", "2001:db8:1::22"), ("198.51.100.2", "2001:db8:1::2")),
        ADDRESSES | ENTRIES,
    ),
    "carrier": Change(
        State(lambda lab: lab.wan1.carrier(on=False), NOWHERE),
        State(lambda lab: lab.wan1.carrier(on=True), defaults(*ROUTER)),
        LINKS,
    ),
}
_IDS: Final = {
    "gateway replaced": "FOLLOW-02",
    "gateway added, old one deleted": "FOLLOW-02",
    "gateway deleted, new one added": "FOLLOW-02",
    "LAN": "FOLLOW-01",
    "addresses": "FOLLOW-04",
    "carrier": "FOLLOW-05",
}
each_change = pytest.mark.parametrize(
    "change", [pytest.param(CHANGES[name], id=name, marks=promise(i)) for name, i in _IDS.items()]
)


def with_second_router(lab: Lab) -> None:
    """Another router on wan1's link, and defaults as a DHCP client sets them."""
    lab.wan1.batch(
        f"address add {NEW_ROUTER[0]}/24 dev up0\naddress add {NEW_ROUTER[1]}/64 dev up0 nodad\n"
        "address add fe80::aa/64 dev up0 nodad\n"
    )
    lab.batch("route del default dev wan1\nroute del ::/0 dev wan1\n")
    routers("replace", ROUTER, ROUTER)(lab)


def shows(lab: Lab, state: State, command: Command) -> bool:
    """Whether the route's table and door are as they shall be."""
    attached = programs.attached(command.target)
    if attached is None or not state.door(attached.door):
        return False
    texts = (
        (lab.ip(f"-{family} route show table 7301 {what}"), words, found)
        for family, what, words, found in state.shown
    )
    return all((words in text) is found for text, words, found in texts)


def timed(lab: Lab, command: Command, change: Change) -> list[float]:
    """Milliseconds of each change there and back, the better of what went each way."""
    took: list[list[float]] = [[], []]
    with Stopwatch(lab) as watch:
        for number in range(AT_MOST):
            if number >= TRIES and all(min(figures) < SOON for figures in took):
                break
            for state, figures in zip((change.there, change.back), took, strict=True):
                watch.begin()
                state.make(lab)
                # Spawning ip(8) takes longer than we measure: the door is looked at as often as can be.
                if state.looked:
                    watch.wait(partial(_door_right, command, state))
                    found = watch.milliseconds(change.awaited, looked=True)
                    until(partial(shows, lab, state, command), what="the table")
                else:
                    watch.wait(partial(shows, lab, state, command))
                    found = watch.milliseconds(change.awaited, looked=False)
                figures.append(found)
    print(f"{[round(f, 1) for f in took[0]]} ms there, {[round(f, 1) for f in took[1]]} ms back")
    return [min(figures) for figures in took]


def _door_right(command: Command, state: State) -> bool:
    attached = programs.attached(command.target)
    return attached is not None and state.door(attached.door)


def wrong(lab: Lab, command: Command) -> list[str]:
    """Everything that is not as it should be for a command by wan1, in both families."""
    return [
        finding
        for family in FAMILIES
        for way in WAYS
        for finding in astray(lab, command, way, family, lab.wan1, seconds=3)
    ]


@each_change
def test_a_change_is_followed_at_once(change: Change) -> None:
    with Lab(main="both") as lab:
        with_second_router(lab)
        with routed(lab) as command:
            assert not wrong(lab, command)
            with Steady(lab, "wan1") as steady:
                lab.clear()
                took = timed(lab, command, change)
                assert not elsewhere(lab, "wan1")
                heard = steady.end()
            assert heard["wan1"] > 0
            assert "wan2" not in heard
            assert max(took) < SOON, took
            assert not wrong(lab, command)


@promise("FOLLOW-01", "FOLLOW-02", "FOLLOW-04", "FOLLOW-05")
def test_an_engine_that_is_stopped_follows_nothing() -> None:
    """So that the tests above would notice."""
    with Lab(main="both") as lab:
        with_second_router(lab)
        with routed(lab) as command:
            command.freeze()
            for name in ("gateway replaced", "LAN", "carrier"):
                CHANGES[name].there.make(lab)
                time.sleep(0.3)
                assert not shows(lab, CHANGES[name].there, command)
                CHANGES[name].back.make(lab)


# --- router advertisements


@promise("FOLLOW-03")
def test_router_advertisements_come_change_and_go() -> None:
    with Lab(main="both") as lab:
        with_second_router(lab)
        lab.batch("route del ::/0 dev wan1\n")
        lab.sysctl("net/ipv6/conf/wan1/accept_ra", "2")
        lab.sysctl("net/ipv6/route/gc_interval", "1")
        lab.wan1.sh("sysctl -qw net.ipv6.conf.all.forwarding=1")
        steps: dict[str, tuple[tuple[str, int, str] | None, str, bool]] = {
            "comes": (("fe80::1", 1800, "medium"), "via fe80::1 ", True),
            "a preferred one comes": (("fe80::aa", 1800, "high"), "via fe80::aa ", True),
            "that one goes": (("fe80::aa", 0, "high"), "via fe80::1 ", True),
            "the last goes": (("fe80::1", 0, "medium"), "via", False),
            "comes for a second": (("fe80::1", 2, "medium"), "via fe80::1 ", True),
            "expires": (None, "via", False),
        }
        took: dict[str, list[float]] = {name: [] for name in steps}
        with routed(lab) as command:
            assert command.ask("tcp", to="2001:db8:ffff::80").error == "ENETUNREACH"
            lab.clear()
            with Stopwatch(lab) as watch:
                for number in range(AT_MOST):
                    if number >= TRIES and all(min(figures) < SOON for figures in took.values()):
                        break
                    for name, (sent, words, found) in steps.items():
                        watch.begin()
                        if sent:
                            advertise(lab.wan1, *sent)
                        state = State(lambda _: None, ((6, "default", words, found),))
                        watch.wait(partial(shows, lab, state, command), 10)
                        took[name].append(watch.milliseconds(ENTRIES, looked=False))
                        if found:
                            assert command.ask("tcp", to="2001:db8:ffff::80").router == "wan1"
                        else:
                            assert command.ask("tcp", to="2001:db8:ffff::80").error == "ENETUNREACH"
            print({name: [round(f, 1) for f in figures] for name, figures in took.items()})
            assert not elsewhere(lab, "wan1")
            assert all(min(figures) < SOON for figures in took.values()), took


# --- lost news


@promise("FOLLOW-06")
def test_a_change_whose_news_were_lost_is_found_all_the_same() -> None:
    """The kernel drops messages for a listener that does not read (ENOBUFS)."""
    with Lab(main="both") as lab:
        with_second_router(lab)
        with routed(lab) as command:
            command.freeze()
            flood = [
                f"route {word} 10.{n}.0.0/16 dev lan0 table 99" for word in ("add", "del") for n in range(250)
            ]
            lab.batch("\n".join(flood * 8))
            assert any(int(line.split()[8]) for line in lab.sh("cat /proc/net/netlink").splitlines()[1:])
            change = CHANGES["gateway replaced"].there
            change.make(lab)
            command.thaw()
            until(lambda: shows(lab, change, command), 2, what="the new gateway")
            assert not wrong(lab, command)
