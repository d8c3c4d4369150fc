"""A folder with a machine, the routes that it should have and what is there already.

machine.toml     adapters, addresses, main, other people's rules, as it is now
routes.toml      the routes that should be there: [[route]]
observed.toml    the routes that an engine made before: [[route]]; died_after: at which step it died; lost:
                 lines of plan.txt's kind that somebody undid since; without the file nothing was there
before.toml      the machine as it was then, if it was another
identity.toml    numbers that are ours, if others than the defaults
plan.txt         the steps from what is there to what should be
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from procroute import config
from procroute.core.desired import desired
from procroute.core.machine import Machine, Observed
from procroute.core.plan import AddEntry, AddRule, DeleteEntry, DeleteRule, SetDoor, Step, plan
from procroute.identity import Identity
from procroute.kernel.fake import Crash, Fake, crash_at
from procroute.model import LiveRoute, Marks, Route
from tests.plans import render, words


@dataclass(frozen=True, slots=True)
class Case:
    """What a folder says. kernel: in the state that it describes."""

    kernel: Fake
    routes: tuple[LiveRoute, ...]

    @property
    def names(self) -> dict[int, str]:
        """ifindex -> adapter."""
        return {a.ifindex: a.name for a in self.kernel.machine.adapters}


def read(folder: Path) -> Case:
    """The case of a folder."""
    identity_file = folder / "identity.toml"
    identity = config.read(identity_file).identity
    machine = _machine(_toml(folder / "machine.toml"))
    before = folder / "before.toml"
    kernel = Fake(_machine(_toml(before)) if before.exists() else machine, identity)
    observed = folder / "observed.toml"
    if observed.exists():
        _make(kernel, identity, _toml(observed))
    kernel.become(machine)
    return Case(kernel, _routes(_toml(folder / "routes.toml"), kernel.observe()))


def _make(kernel: Fake, identity: Identity, said: dict[str, Any]) -> None:
    observed = kernel.observe()
    routes = _routes(said, observed)
    if "died_after" in said:
        kernel.fault = crash_at(2 * said["died_after"])
    try:
        kernel.apply(plan(desired(identity, observed, routes), observed.ours))
    except Crash:
        pass
    else:
        assert "died_after" not in said, "it had finished by then"
    kernel.fault = None
    kernel.populated = {r.number for r in routes} & kernel.targets.keys()
    names = {a.ifindex: a.name for a in kernel.machine.adapters}
    for line in said.get("lost", ()):
        undone = [s for s in kernel.steps if render.lines([s], names) == [line]]
        assert len(undone) == 1, f"{line} was not done once"
        _undo(kernel, undone[0])


def _undo(kernel: Fake, step: Step) -> None:
    """As somebody else would."""
    match step:
        case AddRule(rule):
            kernel.apply([DeleteRule(rule)])
        case AddEntry(entry):
            kernel.apply([DeleteEntry(entry)])
        case SetDoor(number, _):
            del kernel.doors[number]
        case _:
            raise AssertionError(f"nobody undoes {step}")


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _routes(said: dict[str, Any], observed: Observed) -> tuple[LiveRoute, ...]:
    """The routes of a file. One that is there already keeps what was known of it."""
    there = {t.number: t for t in observed.ours.targets}
    found = []
    for number, one in enumerate(said.get("route", ()), 1):
        route = Route(
            adapter=one["adapter"],
            strict=one.get("strict", False),
            gateway4=IPv4Address(one["gateway4"]) if "gateway4" in one else None,
            gateway6=IPv6Address(one["gateway6"]) if "gateway6" in one else None,
            dns=tuple(ip_address(a) for a in one["dns"]) if "dns" in one else None,
        )
        servers = tuple(ip_address(a) for a in one.get("servers", one.get("dns", ())))
        marks = Marks(one.get("marks", "sockets"))
        live = LiveRoute(route, one.get("number", number), servers, marks=marks)
        kept = there.get(live.number)
        found.append(kept if kept and kept.route == route and kept.servers == servers else live)
    return tuple(found)


def _machine(said: dict[str, Any]) -> Machine:
    adapters = [
        words.adapter(name, one["index"], *one.pop("addresses", ()), **_without(one, "index"))
        for name, one in said.pop("adapter").items()
    ]
    names = {a.name: a.ifindex for a in adapters}
    for state in ("failed", "probing"):
        found = frozenset(words.neighbour(n, names) for n in said.pop(state, ()))
        said[f"{state}_gateways"] = found
    said["resolvers"] = tuple(ip_address(a) for a in said.get("resolvers", ()))
    return words.machine(*adapters, **said)


def _without(said: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in said.items() if k != key}
