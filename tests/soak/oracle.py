"""What must be true after each action, as captured traffic, answers and the kernel's state tell."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import Any, Final

from procroute.lab import LAN
from procroute.lab.patience import FACTOR
from tests.netns.inhabitants import Heard
from tests.netns.running import until
from tests.netns.traffic import FAMILIES, own_address
from tests.soak.people import Person, Route
from tests.soak.world import World

WAYS: Final = ("tcp", "udp", "unconnected")
PROMISED: Final = 1.0
"""Seconds until the kernel is as it should be, on a machine that has time."""
HOPELESS: Final = 20.0 * FACTOR
"""Seconds after which it is taken to stay wrong, however slow the machine."""
_LAN: Final = {4: LAN.gateway4, 6: LAN.gateway6}


def check(world: World) -> None:
    """Raises AssertionError that says everything that is wrong."""
    wrong = [*kernel(world), *answers(world), *world.more_wrong(), *ledger(world), *traffic(world)]
    if wrong:
        raise AssertionError("\n".join([*wrong[:40], world.log()]))
    world.settled()


def kernel(world: World, hopeless: float = HOPELESS) -> list[str]:
    """Kernel = desired, soon, while a daemon lives. hopeless: seconds after which it stays wrong."""
    if world.daemon is None:
        return []
    assert world.daemon.process.poll() is None, f"the daemon has ended{world.log()}"
    said = world.ask_looker("look", seconds=hopeless)
    if "error" in said or said["missing"]:
        return [f"after {hopeless:.0f} s the kernel is not as it should be: {said}"]
    world.tally.converged.append((said["seconds"], said["look"]))
    world.tally.checks["kernel = desired"] += 1
    return []


def late(times: list[tuple[float, float]]) -> list[str]:
    """Where the kernel was right too late in half of the cases: 1 s, or as long as some looks take."""
    slow = [seconds for seconds, look in times if seconds > max(PROMISED * FACTOR, 30 * look)]
    return [f"{len(slow)} of {len(times)}: {slow}"] if 2 * len(slow) > len(times) else []


def answers(world: World) -> list[str]:
    """Everybody asks, in every way; who answers is as it should be."""
    return [
        line
        for person in world.people
        for family in FAMILIES
        for line in (*_of_world(world, person, family), *_of_lan(world, person, family))
    ]


def _of_world(world: World, person: Person, family: int) -> list[str]:
    phase = person.phase
    assert phase
    if person.route and person.route.others:
        return _of_several(world, person, person.route, family)
    if person.route is None and len(phase.may[family]) > 1:
        return []
    adapter = next(iter(phase.may[family]), None)
    if adapter is None or adapter in world.down or (person.route and (adapter, family) in world.bare):
        heard = person.ask("tcp", to=phase.to[family], seconds=0.2 * FACTOR)
        world.tally.checks["refused"] += 1
        return [f"{person.name} has no way by {adapter}, and {heard} came"] if heard.router else []
    sure = (adapter, family) not in world.bare
    if person.route:
        sure = sure and not world.stale and (adapter, family) not in world.off_main
    found = []
    for way in WAYS:
        wrong = _asked(world, person, way, family, adapter, patient=sure)
        found += wrong
        world.tally.checks["answered" if sure else "answered, perhaps"] += 1
    return found


def _asked(world: World, person: Person, way: str, family: int, adapter: str, patient: bool) -> list[str]:
    """What is wrong with the answer. patient: there must be one, in some seconds."""
    uplink = world.uplink(adapter)
    assert person.phase
    to = person.phase.to[family]
    deadline = time.monotonic() + 10 * FACTOR
    while True:
        heard = person.ask(way, to=to, seconds=(1 if patient else 0.2) * FACTOR)
        if not heard.error or not patient or time.monotonic() > deadline:
            break
    whose = f"{person.name} on {person.route.options if person.route else 'no route'}"
    if heard.error:
        return [f"{whose}, IPv{family} {way}: no answer: {heard}"] if patient else []
    if heard.router != uplink.wire.node:
        return [f"{whose}, IPv{family} {way}: {heard.router} answered, not {adapter}"]
    if patient and heard.client != own_address(uplink, family):
        return [f"{whose}, IPv{family} {way}: the server saw {heard.client}"]
    return []


def _of_several(world: World, person: Person, route: Route, family: int) -> list[str]:
    """A route that leaves by its next adapter: soon it does so, and never by one that it does not list."""
    assert person.phase
    ways = world.ways(route)
    sure = len(ways) == 1 and not any((way, family) in world.bare | world.off_main for way in ways)
    nodes = {world.uplink(way).wire.node for way in ways}
    listed = {world.uplink(way).wire.node for way in route.adapters}
    heard = [Heard()]
    found = []

    def right(way: str) -> bool:
        heard[0] = person.ask(way, to=phase_to, seconds=(1 if sure else 0.2) * FACTOR)
        return heard[0].router not in {"", *listed} or heard[0].router in nodes or not sure

    phase_to = person.phase.to[family]
    for way in WAYS:
        with contextlib.suppress(AssertionError):
            until(partial(right, way), 10)
        wanted = nodes if sure else {"", *listed}
        if heard[0].router not in wanted:
            found.append(f"{person.name} on {route.options}, IPv{family} {way}: {heard[0]}, not {wanted}")
        world.tally.checks["answered by one of several" if sure else "answered, perhaps"] += 1
    return found


def _of_lan(world: World, person: Person, family: int) -> list[str]:
    """The LAN, which is everybody's but of a strict route."""
    if person.route and (person.route.strict or world.stale):
        return []
    world.tally.checks["LAN"] += 1
    found: list[str] = []

    def reached() -> bool:
        heard = person.ask("tcp", to=_LAN[family], seconds=FACTOR)
        found[:] = [] if heard.router == LAN.node else [f"{person.name}: the LAN by IPv{family}: {heard}"]
        return not found

    try:
        until(reached)
    except AssertionError:
        return found
    return []


def ledger(world: World) -> list[str]:
    """The daemon knows who is routed, and nobody else."""
    if world.daemon is None:
        return []
    wanted = {
        str(pid): world.ways(route) if route.others else {route.adapter}
        for pid, route in world.routed().items()
    }
    said: dict[str, dict[str, Any]] = {}

    def told() -> bool:
        said.update(found=world.ask_looker("ps"))
        routed = said["found"].get("routed", {})
        return routed.keys() == wanted.keys() and all(by in wanted[pid] for pid, by in routed.items())

    try:
        until(told)
    except AssertionError:
        return [f"the daemon says {said['found']}, not {wanted}"]
    world.tally.checks["ps"] += 1
    return []


def traffic(world: World) -> list[str]:
    """No packet of anybody came out where it must not, since this was looked at last."""
    found = world.phases.astray(world.lab)
    world.tally.checks["captures"] += 1
    return found
