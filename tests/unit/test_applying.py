"""Whatever is there of ours, one reconcile reaches what is wanted and a second finds nothing to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import IPv4Address
from typing import NamedTuple

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from procroute.core.desired import desired
from procroute.core.door import Door
from procroute.core.machine import Machine, Observed, Ours
from procroute.engine.reconcile import reconcile, steps
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.fake import Crash, Fake, When, crash_at
from procroute.model import LiveRoute, Route
from tests.plans import words
from tests.unit import strategies

IDENTITY = Identity()
MACHINE = words.machine(
    words.adapter("wan1", 2, "198.51.100.2/24", "2001:db8:1::2/64"),
    words.adapter("tun0", 9, "10.8.0.2/32", "fd08::2/128", tunnel=True),
    main=[
        "0.0.0.0/0 via 198.51.100.1 dev wan1 mtu 1400",
        "::/0 via 2001:db8:1::1 dev wan1",
        "10.0.0.0/8 dev tun0",
    ],
    rp_filter={"wan1": 1},
    names_tables=True,
)


class Engine(NamedTuple):
    """An engine makes these routes and dies at that call of the fault hook, if it gets there."""

    routes: tuple[LiveRoute, ...]
    dies_at: int


class Meddling(NamedTuple):
    """Somebody deletes rules and entries of ours: those whose place in the list is among these."""

    places: frozenset[int]


Event = Engine | Meddling | Machine
_engines = st.builds(Engine, strategies.routes(), st.integers(0, 300))
_meddling = st.builds(Meddling, st.frozensets(st.integers(0, 80)))
_events = st.lists(_engines | _meddling | strategies.machines(), max_size=4)


def happen(kernel: Fake, what: Event) -> None:
    """Let something happen; what goes wrong is what a killed or refused engine leaves."""
    if isinstance(what, Machine):
        kernel.become(what)
    elif isinstance(what, Meddling):
        kernel.rules.keep([r for i, r in enumerate(kernel.rules) if i not in what.places])
        kernel.entries = [e for i, e in enumerate(kernel.entries) if i not in what.places]
    else:
        kernel.fault = crash_at(what.dies_at)
        try:
            reconcile(kernel, IDENTITY, lambda _: free(kernel, what.routes))
        except Crash:
            event("crashed")
        kernel.fault = None


def free(kernel: Fake, routes: Collection[LiveRoute]) -> list[LiveRoute]:
    """Routes as an engine asks for them: one that is there keeps its number, another takes a free one."""
    there = {t.route: t for t in kernel.targets.values()}
    numbers = {r.number for r in routes} - kernel.targets.keys()
    spare = iter(sorted(numbers | set(range(100, 120)) - kernel.targets.keys()))
    return [
        there.get(r.route) or LiveRoute(r.route, next(spare), r.servers, no_lookups=r.no_lookups)
        for r in routes
    ]


def is_settled(kernel: Fake, routes: Collection[LiveRoute]) -> None:
    """Everything wanted is there, nothing else of ours is, and nothing is left to do."""
    observed = kernel.observe()
    assert steps(IDENTITY, observed, routes) == []
    assert observed.ours == desired(IDENTITY, observed, routes)
    assert len(kernel.rules) == len(observed.ours.rules)
    assert len(kernel.entries) == len(observed.ours.entries)


@pytest.mark.promise("FND-07", "KILL-03")
@settings(max_examples=60)
@given(strategies.machines(), _events, strategies.routes())
def test_reconcile_reaches_what_is_wanted_from_any_state(
    machine: Machine, before: list[Event], wanted: tuple[LiveRoute, ...]
) -> None:
    kernel = Fake(machine, IDENTITY)
    for what in before:
        happen(kernel, what)
    routes = free(kernel, wanted)
    reconcile(kernel, IDENTITY, lambda _: routes)
    is_settled(kernel, routes)


@pytest.mark.promise("FND-07")
@settings(max_examples=40)
@given(strategies.machines(), strategies.routes(), strategies.routes())
def test_one_plan_is_enough_from_a_settled_state(
    machine: Machine, before: tuple[LiveRoute, ...], wanted: tuple[LiveRoute, ...]
) -> None:
    kernel = Fake(machine, IDENTITY)
    for asked in (before, wanted):
        routes = free(kernel, asked)
        for step in steps(IDENTITY, kernel.observe(), routes):
            kernel.apply([step])
        is_settled(kernel, routes)


@pytest.mark.promise("FND-07")
@settings(max_examples=40)
@given(strategies.machines(), strategies.machines(), strategies.routes())
def test_one_plan_follows_the_machine(before: Machine, after: Machine, routes: tuple[LiveRoute, ...]) -> None:
    kernel = Fake(before, IDENTITY)
    for machine in (before, after):
        kernel.become(machine)
        for step in steps(IDENTITY, kernel.observe(), routes):
            kernel.apply([step])
        is_settled(kernel, routes)


@pytest.mark.promise("FND-07")
def test_one_plan_is_enough_for_another_route_of_that_number() -> None:
    kernel = Fake(MACHINE, IDENTITY)
    other = Route("wan1", gateway4=IPv4Address("198.51.100.9"))
    for route in (Route("wan1"), other, Route("tun0", strict=True), Route("wan1")):
        routes = [LiveRoute(route, 1), LiveRoute(Route("wan1", dns=()), 2)]
        for step in steps(IDENTITY, kernel.observe(), routes):
            kernel.apply([step])
        is_settled(kernel, routes)


@pytest.mark.promise("FND-07")
def test_one_plan_is_enough_when_only_metrics_change() -> None:
    kernel = Fake(MACHINE, IDENTITY)
    routes = [LiveRoute(Route("wan1"), 1)]
    for mtu in (1400, 1280, 1500):
        main = (*(replace(e, metrics=(("mtu", mtu),)) for e in MACHINE.main),)
        kernel.become(replace(MACHINE, main=main))
        for step in steps(IDENTITY, kernel.observe(), routes):
            kernel.apply([step])
        is_settled(kernel, routes)


@pytest.mark.promise("KILL-02", "CLEAN-01", "CLEAN-03")
@settings(max_examples=40)
@given(strategies.machines(), _events)
def test_cleaning_leaves_nothing_of_ours_and_needs_no_memory(machine: Machine, before: list[Event]) -> None:
    kernel = Fake(machine, IDENTITY)
    for what in before:
        happen(kernel, what)
    reconcile(kernel, IDENTITY)
    assert kernel.observe().ours == Ours()
    assert (kernel.rules, kernel.entries) == ([], [])


@pytest.mark.promise("KILL-02", "KILL-03")
def test_a_crash_at_every_step_is_mended() -> None:
    routes = [LiveRoute(Route("wan1"), 1), LiveRoute(Route("tun0", strict=True), 2)]
    count = len(steps(IDENTITY, Fake(MACHINE, IDENTITY).observe(), routes))
    for dies_at in range(2 * count):
        kernel = Fake(MACHINE, IDENTITY)
        kernel.fault = crash_at(dies_at)
        with pytest.raises(Crash):
            reconcile(kernel, IDENTITY, lambda _: routes)
        kernel.fault = None
        reconcile(kernel, IDENTITY, lambda _: routes)
        is_settled(kernel, routes)


@pytest.mark.promise("KILL-02", "CLEAN-03")
def test_a_crash_at_every_step_of_cleaning_is_mended() -> None:
    routes = [LiveRoute(Route("wan1"), 1), LiveRoute(Route("tun0", strict=True), 2)]
    kernel = Fake(MACHINE, IDENTITY)
    reconcile(kernel, IDENTITY, lambda _: routes)
    for _ in range(2 * len(steps(IDENTITY, kernel.observe(), []))):
        kernel.fault = crash_at(2)
        try:
            reconcile(kernel, IDENTITY)
        except Crash:
            continue
        break
    assert kernel.observe().ours == Ours()


@pytest.mark.promise("CLEAN-05")
@given(strategies.machines())
def test_where_nothing_is_there_is_nothing_to_do(machine: Machine) -> None:
    kernel = Fake(machine, IDENTITY)
    reconcile(kernel, IDENTITY)
    assert kernel.steps == []


@pytest.mark.promise("CLI-14", "CLI-15")
@settings(max_examples=40)
@given(strategies.machines(), strategies.routes(), st.integers(0, 300))
def test_living_routes_stay_when_another_engine_dies(
    machine: Machine, routes: tuple[LiveRoute, ...], dies_at: int
) -> None:
    living = routes[:2]
    kernel = Fake(machine, IDENTITY)
    reconcile(kernel, IDENTITY, lambda _: living)
    kernel.populated = {r.number for r in living}
    happen(kernel, Engine(routes, dies_at))
    reconcile(kernel, IDENTITY)
    is_settled(kernel, kernel.observe().alive())
    assert {t.number for t in kernel.observe().ours.targets} == kernel.populated


def test_what_the_kernel_refuses_for_good_is_said() -> None:
    def refuse(step: object, when: When) -> None:
        raise ProcrouteError("kernel-refused", "the kernel refused to add it")

    kernel = Fake(Machine(), IDENTITY)
    kernel.fault = refuse
    with pytest.raises(ProcrouteError, match="refused to add it"):
        reconcile(kernel, IDENTITY, lambda _: [LiveRoute(Route("wan1"), 1)])


@pytest.mark.parametrize("times", [1, 3, 4])
def test_what_somebody_undoes_a_few_times_is_done_again(times: int) -> None:
    """The fourth try is the last one."""
    kernel = Fake(MACHINE, IDENTITY)
    routes = [LiveRoute(Route("wan1"), 1)]
    last = steps(IDENTITY, kernel.observe(), routes)[-1]
    left = times

    def undo(step: object, when: When) -> None:
        nonlocal left
        if left and step == last and when is When.AFTER:
            left -= 1
            kernel.rules.clear()

    kernel.fault = undo
    if times < 4:
        reconcile(kernel, IDENTITY, lambda _: routes)
        is_settled(kernel, routes)
    else:
        with pytest.raises(ProcrouteError, match="not what was asked for"):
            reconcile(kernel, IDENTITY, lambda _: routes)


def test_what_somebody_keeps_undoing_is_said() -> None:
    kernel = Fake(Machine(), IDENTITY)

    def undo(step: object, when: When) -> None:
        kernel.rules.clear()

    kernel.fault = undo
    with pytest.raises(ProcrouteError) as caught:
        reconcile(kernel, IDENTITY, lambda _: [LiveRoute(Route("wan1"), 1)])
    assert caught.value.code == "unstable"
    assert "somebody changes it" in caught.value.hint


def test_doors_are_looked_at_again_only_where_a_step_touches_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look at those of a hundred routes takes longer than all else."""
    kernel = Fake(MACHINE, IDENTITY)
    known: list[bool] = []
    look = kernel.observe

    def observe(machine: Machine | None = None, doors: Mapping[int, Door] | None = None) -> Observed:
        known.append(doors is not None)
        return look(machine, doors)

    monkeypatch.setattr(kernel, "observe", observe)
    route = LiveRoute(Route("wan1"), 1)
    reconcile(kernel, IDENTITY, lambda _: [route])
    assert known == [False, False]
    kernel.rules.clear()
    known.clear()
    reconcile(kernel, IDENTITY, lambda _: [route])
    assert known == [False, True]
    assert kernel.rules
