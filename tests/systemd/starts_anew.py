"""A program for a box: procrouted beside which a unit is started anew just when it is to follow in place.

    python -m tests.systemd.starts_anew UNIT

Its cgroup is a target by then, and the assignment is not noted yet.
"""

from __future__ import annotations

import sys
from subprocess import run
from typing import Any, Final

from procroute.cli.main import main as procroute
from procroute.daemon.assigning import Assigning
from procroute.daemon.whole_units import WholeUnit
from procroute.kernel import cgroups
from tests.netns.running import until

_IN_PLACE: Final = Assigning._in_place
_UNIT: Final = sys.argv[1]


def _anew(self: Assigning, *asked: Any) -> Any:
    Assigning._in_place = _IN_PLACE  # type: ignore[method-assign]
    unit = next(one for one in asked if isinstance(one, WholeUnit))
    before = unit.place.stat().st_ino
    run(["systemctl", "restart", "--no-block", _UNIT], check=True)
    until(
        lambda: unit.place.exists() and unit.place.stat().st_ino != before and cgroups.populated(unit.place)
    )
    print(f"{_UNIT} was started anew", flush=True)
    return _IN_PLACE(self, *asked)


if __name__ == "__main__":
    Assigning._in_place = _anew  # type: ignore[assignment,method-assign]
    sys.exit(procroute(["daemon"]))
