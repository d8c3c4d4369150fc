"""The adapter goes and comes back while commands run: nothing leaves by another, connects fail at once, and
then it works again by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from procroute.lab.topology import machine_side
from tests.netns.inhabitants import Command, routed
from tests.netns.running import until
from tests.netns.steadily import Steady
from tests.netns.traffic import FAMILIES, NO_WAY, SERVER, WAYS, astray, elsewhere, gateway

promise = pytest.mark.promise
GATEWAYS = ("--gateway4", "198.51.100.1", "--gateway6", "2001:db8:1::1")
AT_ONCE = 300 * FACTOR
"""Milliseconds."""
AGAIN = 2.0
"""Seconds within which a command works again."""


@dataclass(frozen=True, slots=True)
class Blip:
    """Something that takes families away from wan1. noticed: seconds within which connects fail at once."""

    happen: Callable[[Lab], None]
    families: Collection[int] = FAMILIES
    noticed: float = 1.0


_MUTE = """table netdev mute {
    chain out { type filter hook egress device up0 priority 0; policy drop; }
}
"""


def die(lab: Lab) -> None:
    """The gateway neither hears nor speaks, and the machine asks for it."""
    lab.wan1.run(["nft", _MUTE])
    lab.wan1.silence()


def come_back(lab: Lab) -> None:
    """All is as it was, as after a new DHCP lease."""
    lab.wan1.run(["nft", "table netdev mute; delete table netdev mute"])
    lab.wan1.restore()


def lose_addresses(lab: Lab) -> None:
    lab.wan1.drop_address(4)
    lab.wan1.drop_address(6)


def die_unasked(lab: Lab) -> None:
    """The kernel finds out by itself; it is told to look more often than it does by default."""
    for name in ("ipv4", "ipv6"):
        lab.sysctl(f"net/{name}/neigh/wan1/base_reachable_time_ms", "400")
        lab.sysctl(f"net/{name}/neigh/wan1/delay_first_probe_time", "1")
    lab.wan1.forget_neighbours()  # what is known already keeps its old time
    for family in FAMILIES:
        lab.run(["ping", "-n", "-c1", gateway(lab.wan1, family)], check=True)
    lab.wan1.run(["nft", _MUTE])
    lab.wan1.silence(forget=False)


BLIPS = {
    "down": Blip(lambda lab: lab.wan1.down()),
    "carrier": Blip(lambda lab: lab.wan1.carrier(on=False)),
    "addresses": Blip(lose_addresses),
    "IPv4 address": Blip(lambda lab: lab.wan1.drop_address(4), families=(4,)),
    "IPv6 address": Blip(lambda lab: lab.wan1.drop_address(6), families=(6,)),
    "dead gateway": Blip(die, noticed=4),
    "deaf gateway": Blip(lambda lab: lab.wan1.silence(), noticed=4),
    "gateway that dies unasked": Blip(die_unasked, noticed=8),
}
each_blip = pytest.mark.parametrize(
    "blip",
    [
        pytest.param(BLIPS[name], id=name, marks=promise(*ids))
        for name, ids in {
            "down": ["DOWN-01"],
            "carrier": ["DOWN-02"],
            "addresses": ["DOWN-03"],
            "IPv4 address": ["DOWN-03", "DOWN-04"],
            "IPv6 address": ["DOWN-03", "DOWN-04"],
            "dead gateway": ["DOWN-05"],
            "deaf gateway": ["DOWN-05"],
            "gateway that dies unasked": ["DOWN-05"],
        }.items()
    ],
)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Main prefers wan2."""
    with Lab(main="both") as lab:
        yield lab


@pytest.fixture
def without_default() -> Iterator[Lab]:
    """Main has no default at all."""
    with Lab(main="none") as lab:
        yield lab


def options(lab: Lab) -> tuple[str, ...]:
    """What a run by wan1 needs there."""
    return () if lab.ip("route show default") else GATEWAYS


def slow_or_open(command: Command, families: Collection[int]) -> list[str]:
    """What did not fail at once, of all ways and these families."""
    found = []
    for family in families:
        for way in WAYS:
            heard = command.ask(way, to=SERVER[family], seconds=3)
            if way == "ping":
                refused = (
                    "unreachable" in heard.error.lower() and heard.ms < 3 * AT_ONCE
                )  # it starts a program
            else:
                refused = heard.error in NO_WAY and heard.ms < AT_ONCE
            if not refused:
                found.append(f"{way} IPv{family}: {heard}")
    return found


def wait_for_refusal(command: Command, blip: Blip) -> None:
    """Wait until connects fail at once, and go on doing so: one that joins others in waiting may be lucky."""

    def refused() -> bool:
        asked = (command.ask("tcp", to=SERVER[family], seconds=0.5) for family in blip.families)
        return all(heard.error in NO_WAY and heard.ms < AT_ONCE for heard in asked)

    began = time.monotonic()
    until(lambda: refused() and refused() and refused(), blip.noticed + 1.5, "refusal")
    # the last look may have hung for as long as it was allowed to, in each family
    assert time.monotonic() - began < (blip.noticed + 1.0) * FACTOR


def wait_until_it_works(command: Command) -> None:
    """Wait until each family is answered through wan1 again."""

    def works(family: int) -> bool:
        return command.ask("tcp", to=SERVER[family], seconds=0.2).router == "wan1"

    until(lambda: all(works(family) for family in FAMILIES), AGAIN, "wan1's return")


@promise("DOWN-06")
@each_blip
def test_nothing_leaves_elsewhere_and_it_comes_back(lab: Lab, blip: Blip) -> None:
    go_and_come_back(lab, blip)


@promise("DOWN-06")
@pytest.mark.parametrize("blip", [pytest.param(BLIPS[n], id=n) for n in ("down", "carrier", "dead gateway")])
def test_the_same_where_main_has_no_default(without_default: Lab, blip: Blip) -> None:
    go_and_come_back(without_default, blip)


def go_and_come_back(lab: Lab, blip: Blip) -> None:
    """Let it happen under traffic, and mend it."""
    with routed(lab, *options(lab)) as command, Steady(lab, "wan1", *options(lab)) as steady:
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan1)
        lab.clear()
        blip.happen(lab)
        wait_for_refusal(command, blip)
        assert not slow_or_open(command, blip.families)
        for family in set(FAMILIES) - set(blip.families):
            assert command.ask("tcp", to=SERVER[family]).router == "wan1"
        come_back(lab)
        wait_until_it_works(command)
        assert not elsewhere(lab, "wan1")
        for family in FAMILIES:
            for way in WAYS:
                assert not astray(lab, command, way, family, lab.wan1)
        heard = steady.end()
        assert heard.pop("wan1") > 0
        # EPERM: the guard, from an address that has gone or come this moment.
        assert heard.keys() <= {*NO_WAY, "ETIMEDOUT", "ECONNRESET", "ENETDOWN", "EPERM"}


@promise("NEG-01", "NEG-02")
@pytest.mark.parametrize("blip", [pytest.param(BLIPS[n], id=n) for n in ("down", "carrier", "dead gateway")])
def test_without_mark_and_guard_it_would_leave_elsewhere(blip: Blip) -> None:
    def leaks(lab: Lab, command: Command) -> list[str]:
        lab.clear()
        for family in FAMILIES:
            command.ask("tcp", to=SERVER[family])
        return elsewhere(lab, "wan1")

    with Lab(main="both") as lab, routed(lab) as command:
        assert command.ask("tcp", to=SERVER[4]).router == "wan1"
        blip.happen(lab)
        wait_for_refusal(command, blip)
        assert not leaks(lab, command)
        command.switch_off("mark", "guard")
        assert leaks(lab, command)


@promise("DOWN-06")
def test_it_comes_back_without_a_default_in_main() -> None:
    """The gateway that main last had is remembered: nobody may put that default back."""
    with Lab(main="both") as lab, routed(lab) as command:
        lab.wan1.down()
        wait_for_refusal(command, BLIPS["down"])
        lab.run(["ip", "-batch", "-"], stdin=machine_side(lab.wan1.wire), check=True)
        assert "wan1" not in lab.ip("route show default") + lab.ip("-6 route show default")
        wait_until_it_works(command)
        assert not elsewhere(lab, "wan1")


@promise("DOWN-06")
@pytest.mark.parametrize("gateway6", ["global", "link-local"])
def test_a_new_gateway_is_followed(gateway6: str) -> None:
    """As DHCP or router advertisements may bring one: the default of main is replaced."""
    with Lab(main="both", gateway6=gateway6) as lab, routed(lab) as command:  # type: ignore[arg-type]
        lab.wan1.run(["ip", "address", "add", "198.51.100.9/24", "dev", "up0"])
        lab.wan1.run(["ip", "address", "add", "2001:db8:1::9/64", "dev", "up0", "nodad"])
        replace_default(lab, 4, "198.51.100.9")
        replace_default(lab, 6, "2001:db8:1::9")
        wait_until_it_works(command)


def replace_default(lab: Lab, family: int, new: str) -> None:
    """Give main another default by wan1, and wait until the route has taken it over."""
    lab.ip(f"-{family} route replace default via {new} dev wan1 metric 200")

    def taken_over() -> bool:
        return f"via {new} dev wan1" in lab.ip(f"-{family} route show table 7301 default")

    until(taken_over, AGAIN, "the new gateway")
    assert gateway(lab.wan1, family) + " " not in lab.ip(f"-{family} route show table 7301 default")


@promise("DOWN-01", "DOWN-06")
def test_a_blip_of_a_moment_leaves_no_trace() -> None:
    """Down and up again before anybody looks, ten times."""
    with Lab(main="both") as lab, routed(lab) as command:
        lab.clear()
        for _ in range(10):
            lab.wan1.down()
            lab.wan1.restore()
        wait_until_it_works(command)
        assert not elsewhere(lab, "wan1")


@promise("DOWN-01")
def test_the_adapter_vanishes_and_another_takes_its_name() -> None:
    """Nothing leaves by wan2 while wan1 is gone, and the run ends as its command does."""
    with Lab(main="both") as lab, routed(lab) as command:
        lab.clear()
        lab.ip("link del wan1")
        wait_for_refusal(command, BLIPS["down"])
        assert not slow_or_open(command, FAMILIES)
        lab.ip("link add wan1 type veth peer name wan1x")
        lab.run(["ip", "-batch", "-"], stdin=machine_side(lab.wan1.wire) + "link set wan1x up\n", check=True)
        for family in FAMILIES:
            assert command.ask("tcp", to=SERVER[family], seconds=0.5).error
        lab.ip("link del wan1")
        lab.settle()
        assert not lab.wan2.packets()
