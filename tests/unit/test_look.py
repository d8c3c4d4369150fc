"""A look that takes no lock is taken again where something went meanwhile."""

from __future__ import annotations

import pytest

from procroute.engine.look import steadily
from procroute.errors import ProcrouteError

promise = pytest.mark.promise


@promise("LOOK-02")
@pytest.mark.parametrize(("times", "looks"), [(0, 1), (3, 4), (99, None)])
def test_it_is_taken_again_and_not_for_ever(times: int, looks: int | None) -> None:
    taken = 0

    def look() -> int:
        nonlocal taken
        taken += 1
        if taken <= times:
            raise ProcrouteError("bpf-refused", "it went")
        return taken

    if looks is None:
        with pytest.raises(ProcrouteError):
            steadily(look)
    else:
        assert steadily(look) == looks
    assert taken <= 10


@promise("LOOK-02")
def test_what_is_wrong_with_the_machine_is_said_at_once() -> None:
    taken = 0

    def look() -> int:
        nonlocal taken
        taken += 1
        raise ProcrouteError("kernel-refused", "no")

    with pytest.raises(ProcrouteError):
        steadily(look)
    assert taken == 1
