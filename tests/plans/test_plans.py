"""Each folder beside this file: what is there, what should be there, and the steps between.

PROCROUTE_WRITE_PLANS=1 writes plan.txt anew: read the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from procroute.core.desired import desired
from procroute.core.plan import plan
from tests.plans import case, render

FOLDERS = sorted(f.parent for f in Path(__file__).parent.glob("*/machine.toml"))


@pytest.mark.promise("FND-06", "FND-07")
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_plan(folder: Path) -> None:
    this = case.read(folder)
    kernel = this.kernel
    observed = kernel.observe()
    steps = plan(desired(kernel.identity, observed, this.routes), observed.ours)
    lines = render.lines(steps, this.names)
    page = folder / "plan.txt"
    if "PROCROUTE_WRITE_PLANS" in os.environ:
        page.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    assert page.read_text(encoding="utf-8").splitlines() == lines

    kernel.populated = set()
    kernel.apply(steps)
    after = kernel.observe()
    assert plan(desired(kernel.identity, after, this.routes), after.ours) == []


def test_there_are_cases() -> None:
    assert len(FOLDERS) > 20
