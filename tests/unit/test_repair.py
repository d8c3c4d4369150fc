"""What is told of a repair."""

from __future__ import annotations

import pytest

from procroute.core.plan import SetRuleset, Step
from procroute.engine.reconcile import reconcile
from procroute.engine.repair import Reporter, repair
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.fake import Fake, When
from procroute.kernel.witness import Witness
from procroute.model import LiveRoute, Marks, Route
from procroute.protocol import Repaired
from tests.unit.test_follow import machine

promise = pytest.mark.promise
IDENTITY = Identity()


def kept() -> tuple[Fake, Reporter, list[Repaired]]:
    """A route that is as it should be, and what is told of it from then on."""
    kernel = Fake(machine(), IDENTITY)
    reconcile(kernel, IDENTITY, lambda _: [LiveRoute(Route("wan1"), 1, marks=Marks.BOTH)])
    kernel.populated = {1}
    told: list[Repaired] = []
    reporter = Reporter(Witness(IDENTITY.protocol), told.append, lambda _: None)
    reporter.seen(kernel.observe().ours, 0)
    kernel.ruleset = None
    return kernel, reporter, told


@promise("TRUE-03")
def test_what_is_broken_while_the_rest_is_mended_is_told_as_well() -> None:
    kernel, reporter, told = kept()
    lost = len(list(kernel.rules))

    def fault(step: Step, when: When) -> None:
        if isinstance(step, SetRuleset) and when is When.AFTER:
            kernel.rules.clear()
            kernel.fault = None

    kernel.fault = fault
    reporter.repaired(repair(kernel, kernel.observe()), 0.01)
    (said,) = told
    assert said.what == ["the nft table", f"{lost} ip rules"]


@promise("TRUE-03")
def test_what_had_to_be_tried_again_is_told_once() -> None:
    kernel, reporter, told = kept()

    def fault(step: Step, when: When) -> None:
        if isinstance(step, SetRuleset):
            kernel.fault = None
            raise ProcrouteError("system", "not now")

    kernel.fault = fault
    reporter.repaired(repair(kernel, kernel.observe()), 0.01)
    (said,) = told
    assert said.what == ["the nft table"]
