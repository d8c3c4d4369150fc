"""Rule files that are edited while programs start."""

from __future__ import annotations

import subprocess
from typing import Final

import pytest

from procroute.lab import Lab
from tests.netns.daemons import daemon
from tests.netns.holding import PLACE, first, programs, routers
from tests.netns.ruled import rule, write
from tests.netns.running import procroute
from tests.netns.traffic import both_families

_STARTS: Final = 200
_EDITS: Final = 8
"""So many while programs start: each file twice."""
_ROUNDS: Final = 20


@pytest.mark.promise("RULE-40", "RULE-45")
@both_families
def test_a_start_meets_its_rule_while_that_moves_in_its_file(family: int) -> None:
    """The rule is the same before and after each edit: its line is another, or has another rule now."""
    its = rule(f'exe = "{first(family)}"')
    other = rule(f'exe = "{first(family)}"', 'name = "nobody"', way='via = "wan2"')
    files = (its, f"\n{its}", f"{other}{its}", f"# why\n\n{its}{other}")
    with Lab(main="both") as lab:
        programs(lab)
        write(lab, its)
        with daemon(lab) as running:
            words = [f"{PLACE}/starts", "many", str(_STARTS), "4", first(family)]
            edits = 0
            for _ in range(_ROUNDS):
                starting = lab.popen(words, stdout=subprocess.PIPE)
                while starting.poll() is None:
                    edits += 1
                    write(lab, files[edits % len(files)])
                    assert procroute(lab, "reload").returncode == 0
                out, _rest = starting.communicate(timeout=60)
                assert dict(routers(out)) == {"wan1": _STARTS}, (edits, running.log())
                if edits > _EDITS:
                    return
            raise AssertionError(f"they were over too soon: {edits} edits")
