"""Which routes the daemon has to look at the kernel for."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from procroute.config import Settings
from procroute.core.asking import options_of
from procroute.core.machine import Machine, Observed, Ours
from procroute.daemon import routes
from procroute.daemon.asked import request_for
from procroute.daemon.routes import Routes
from procroute.engine.request import Request
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, records
from procroute.model import Adapter, Address, LiveRoute, OnDown, Route
from procroute.protocol import Wanted

LOOPBACK = "lo"  # the one adapter that is everywhere, with the same ifindex (net/loopback.c)
LIVE = LiveRoute(Route(LOOPBACK), 1)
FIT = Adapter(LOOPBACK, 1, tunnel=True, addresses=(Address(IPv4Interface("192.0.2.2/24")),))


class _Linux:
    """As far as opening a route asks for it."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def path(self, _: int) -> Path:
        return self._target

    def further_targets(self) -> list[records.Target]:
        return []


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What the kernel was looked at for."""
    return looking(monkeypatch, Machine(adapters=(FIT,)))


def looking(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> list[Request]:
    """The same, on such a machine."""
    found: list[Any] = []

    def decide(_: object, request: Any, __: object) -> tuple[Observed, LiveRoute, list[str]]:
        found.append(request)
        return Observed(machine, Ours()), LIVE, []

    def opened(*_: object) -> tuple[Observed, object]:
        # As it is written on the target: with its adapter.
        return Observed(machine, Ours(targets=frozenset({replace(LIVE, ifindex=1)}))), None

    monkeypatch.setattr(routes, "decide", decide)
    monkeypatch.setattr(routes, "open_route", opened)
    monkeypatch.setattr(records, "named", lambda _: True)
    monkeypatch.setattr(cgroups, "attend", lambda _: os.open("/", os.O_RDONLY))
    return found


def test_who_asks_for_a_route_that_was_just_opened_needs_no_look(
    looked: list[Request], tmp_path: Path
) -> None:
    kept = Routes(_Linux(tmp_path), Settings(), print)  # type: ignore[arg-type]
    first, _ = kept.open(Request((), LOOPBACK))
    second, _ = kept.open(Request((), LOOPBACK))
    assert first is second
    assert len(looked) == 1


def test_a_route_that_lacks_something_is_looked_at_each_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looked = looking(monkeypatch, Machine(adapters=(replace(FIT, addresses=()),)))
    kept = Routes(_Linux(tmp_path), Settings(), print)  # type: ignore[arg-type]
    asked = Request((), LOOPBACK, absent=True)
    kept.open(asked)
    found, _ = kept.open(asked)
    assert looked == [asked] * 2
    assert kept.lacking(found) == f"adapter {LOOPBACK} has no usable address"
    assert kept.waiting() == [found]
    kept.fill([found])
    assert looked == [asked] * 3


def test_one_that_is_there_stays_for_who_may_do_without_its_adapters(
    monkeypatch: pytest.MonkeyPatch, looked: list[Request], tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise ProcrouteError("adapter-unfit", "it is a part of another one now")

    kept = Routes(_Linux(tmp_path), Settings(), print)  # type: ignore[arg-type]
    found, _ = kept.open(Request((), LOOPBACK))
    assert looked
    monkeypatch.setattr(routes, "decide", refuse)
    assert kept.open(Request((), LOOPBACK, absent=True)) == (found, ["it is a part of another one now"])
    assert kept.lacking(found) == "it is a part of another one now"
    for other in (Request((), LOOPBACK), Request((), LOOPBACK, strict=True, absent=True)):
        with pytest.raises(ProcrouteError):
            kept.open(other)


def test_a_route_is_found_by_the_name_of_its_targets(looked: list[Request], tmp_path: Path) -> None:
    kept = Routes(_Linux(tmp_path), Settings(), print)  # type: ignore[arg-type]
    found, _ = kept.open(Request((), LOOPBACK))
    assert kept.of_targets(tmp_path.name) is found
    assert kept.of_targets("procroute-other.slice") is None
    assert len(looked) == 1


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("wan1"),
        Wanted("wan1", strict=True),
        Wanted("wan1", gateway4="192.0.2.1", gateway6="2001:db8::1", dns=["192.0.2.53", "2001:db8::53"]),
        Wanted("wan1", dns=[]),
    ],
)
def test_by_the_options_of_a_route_one_asks_for_the_same(wanted: Wanted) -> None:
    request = request_for(wanted)
    route = Route(request.adapter, request.strict, request.gateway4, request.gateway6, request.dns)
    options = options_of(route)
    assert msgspec.to_builtins(options) == msgspec.to_builtins(wanted)
    assert request_for(msgspec.convert(options, Wanted, from_attributes=True)) == request


def test_what_is_given_goes_before_what_the_configuration_gives_a_name(tmp_path: Path) -> None:
    both = Route("wan1", gateway4=IPv4Address("192.0.2.1"), dns=(), others=("wan2",), hold=5.0, inbound=True)
    kept = Routes(_Linux(tmp_path), Settings(route={"office": both}), print)  # type: ignore[arg-type]
    meant = kept.meant(Wanted("office", strict=True, gateway4="192.0.2.2"))
    assert meant == Request(
        (), "wan1,wan2", True, IPv4Address("192.0.2.2"), None, (), None, None, False, 5.0, True
    )
    assert kept.meant(Wanted("wan1")) == Request((), "wan1")
    asked = kept.meant(Wanted("office", on_down="main", existing="reset", hold=0))
    assert (asked.on_down, asked.reset, asked.hold, asked.inbound) == (OnDown.MAIN, True, 0, True)
    ending = Settings(route={"office": replace(both, reset=True)})
    kept = Routes(_Linux(tmp_path), ending, print)  # type: ignore[arg-type]
    assert kept.meant(Wanted("office")).reset
    assert kept.meant(Wanted("office", existing="keep")).reset is False
