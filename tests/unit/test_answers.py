"""A gateway counts as silent from the first failure that is heard or written, until it answers."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from procroute.core.answers import Answer, unanswering
from procroute.kernel.neighbours import answer

pytestmark = pytest.mark.promise("DOWN-05", "DOWN-06")
ONE, OTHER = (2, ip_address("198.51.100.1")), (3, ip_address("fe80::1"))


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (0x20, Answer.NONE),
        (0x01, Answer.AWAITED),
        (0x02, Answer.GIVEN),
        (0x40, Answer.GIVEN),
        (0x80, Answer.GIVEN),
        (0x04, Answer.OLD),
        (0x08, Answer.OLD),
        (0x10, Answer.OLD),
    ],
)
def test_what_states_say(state: int, says: Answer) -> None:
    assert answer(state) is says


def test_a_failure_counts() -> None:
    assert unanswering((), {ONE: Answer.NONE, OTHER: Answer.AWAITED}) == {ONE}


@pytest.mark.parametrize("now", [{}, {ONE: Answer.AWAITED}, {ONE: Answer.OLD}, {ONE: Answer.NONE}])
def test_it_lasts_until_there_is_an_answer(now: dict[tuple[int, object], Answer]) -> None:
    assert unanswering({ONE}, now) == {ONE}  # type: ignore[arg-type]


def test_an_answer_ends_it() -> None:
    assert unanswering({ONE, OTHER}, {ONE: Answer.GIVEN}) == {OTHER}
