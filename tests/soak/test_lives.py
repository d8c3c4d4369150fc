"""Lives that hypothesis makes up, by a fixed seed, for a minute; `make soak` goes on for an hour by new ones.

A slow machine may take longer, until as much was done as is worth the name.
"""

from __future__ import annotations

from typing import Final

import pytest

from procroute.lab.patience import FACTOR
from tests.soak import oracle
from tests.soak.course import Course
from tests.soak.tunnelled_life import life_of

promise = pytest.mark.promise
SEED: Final = 269
"""One whose first lives are unlike each other."""
SECONDS: Final = 60
AT_LEAST, AT_MOST = 12, 300 * FACTOR
"""Actions, and seconds that they may take at the worst."""


@promise("SOAK-01", "SOAK-02", "SOAK-03", "SOAK-04", "SOAK-05", "SOAK-06")
@pytest.mark.timeout(1800 * FACTOR)
def test_whatever_happens_in_whichever_order() -> None:
    course = Course(SECONDS, at_least=AT_LEAST, at_most=AT_MOST)
    try:
        course.live(life_of(course), SEED, shrink=False)
    finally:
        print("\n".join(course.summary()))
    steps, tally = course.tally.steps, course.tally
    assert steps >= AT_LEAST, f"only {steps} actions in {course.elapsed:.0f} s: this machine is too slow"
    assert tally.checks["answered"]
    assert tally.checks["kernel = desired"]
    assert tally.checks["everything gone"]
    assert tally.checks["first packets"]
    assert tally.packets > 100
    assert not oracle.late(tally.converged)
