"""Users whose sockets follow a route: when the programs are told, and what a crash leaves."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from procroute.core import plan
from procroute.core.damage import damage
from procroute.core.machine import Observed, Ours
from procroute.core.owners import Owned, owned
from procroute.core.step_words import things
from procroute.engine.owning import own
from procroute.engine.reconcile import reconcile
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.fake import Crash, Fake, When, crash_at
from procroute.model import LiveRoute, Owner, Route
from tests.plans.words import adapter, machine

pytestmark = pytest.mark.promise("RULE-71")
ALICE, BOB = Owner(1000), Owner(1001, alone=True)
WAN1 = LiveRoute(Route("wan1"), 1)
WAN2 = LiveRoute(Route("wan2", strict=True), 2, owners=(BOB,))
HERS = replace(WAN1, owners=(ALICE,))


def fake() -> Fake:
    """A machine with two ways out."""
    adapters = (adapter("wan1", 2, "198.51.100.2/24"), adapter("wan2", 3, "203.0.113.2/24"))
    return Fake(machine(*adapters), Identity())


def test_what_is_told_comes_from_what_is_written_on_routes() -> None:
    assert owned([HERS, WAN2]) == {Owned(1000, 1), Owned(1001, 2, alone=True, strict=True)}
    assert owned([replace(WAN2, owners=(ALICE,)), HERS]) == {Owned(1000, 1)}  # each of them once


def test_sockets_are_marked_when_there_is_a_way_and_no_more_before_it_goes() -> None:
    kernel = fake()
    reconcile(kernel, kernel.identity, lambda _: [HERS])
    assert kernel.owners == frozenset({Owned(1000, 1)})
    kinds = [type(step) for step in kernel.steps]
    last_rule = max(at for at, kind in enumerate(kinds) if kind is plan.AddRule)
    assert kinds.index(plan.SetOwners) > last_rule
    kernel.steps.clear()
    reconcile(kernel, kernel.identity, lambda _: [])
    kinds = [type(step) for step in kernel.steps]
    assert kinds[0] is plan.SetOwners
    assert kernel.observe().ours == Ours()


def test_a_route_with_owners_is_in_use_and_what_others_took_off_is_put_back() -> None:
    kernel = fake()
    reconcile(kernel, kernel.identity, lambda _: [HERS])
    last = kernel.observe().ours
    for there in (frozenset[Owned](), None):
        kernel.owners = there
        steps = plan.plan(last, kernel.observe().ours)
        assert damage(steps, kernel.observe().ours, last) == steps
        assert things(steps) == ["the programs for users' sockets"]
        reconcile(kernel, kernel.identity)
        assert kernel.observe().ours == last


def test_after_a_crash_at_any_step_the_next_engine_goes_on() -> None:
    def with_owners(now: Observed) -> Iterable[LiveRoute]:
        return [replace(live, owners=(BOB,) if live.number == 2 else ()) for live in now.alive()]

    for count in range(200):
        kernel = fake()
        kernel.populated = {1, 2}
        reconcile(kernel, kernel.identity, lambda _: [HERS, replace(WAN2, owners=())])
        kernel.fault = crash_at(count)
        try:
            reconcile(kernel, kernel.identity, lambda now: list(with_owners(now)))
        except Crash:
            kernel.fault = None
            observed = reconcile(kernel, kernel.identity)
            assert kernel.owners == owned(observed.ours.targets)
            assert len(observed.ours.targets) == 2
        else:
            assert kernel.owners == frozenset({Owned(1001, 2, alone=True, strict=True)})
            assert count > 4
            return
    raise AssertionError("it never ends")


def test_where_the_kernel_refuses_nobody_is_told_and_nothing_is_written() -> None:
    def refusing(step: plan.Step, when: When) -> None:
        if isinstance(step, plan.SetOwners) and step.owners and when is When.BEFORE:
            raise ProcrouteError("kernel-option", "no such programs")

    kernel = fake()
    kernel.populated = {1}
    reconcile(kernel, kernel.identity, lambda _: [WAN1])
    kernel.fault = refusing
    with pytest.raises(ProcrouteError, match="no such programs"):
        own(kernel, {1: (ALICE,)})
    assert not kernel.owners
    assert not any(live.owners for live in kernel.targets.values())
    kernel.fault = None
    own(kernel, {1: (ALICE,)})
    assert kernel.owners == frozenset({Owned(1000, 1)})
    own(kernel, {})
    assert not kernel.owners
