"""Frames: what one side writes the other reads, and nonsense is told and not taken for something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute import protocol
from procroute.errors import ProcrouteError


def _text(frame: bytes) -> bytes:
    (length,) = protocol.LENGTH.unpack_from(frame)
    assert length == len(frame) - protocol.LENGTH.size
    return frame[protocol.LENGTH.size :]


PIDS = st.lists(st.integers(1, 1 << 22), max_size=5)
WORDS = st.text(min_size=1, max_size=20)
ROUTES = st.builds(protocol.Wanted, via=WORDS, dns=st.none() | st.lists(WORDS, max_size=3))
REQUESTS = (
    st.builds(protocol.Run, route=ROUTES, command=st.lists(WORDS), id=st.integers(0, 1 << 40))
    | st.builds(protocol.Assign, route=ROUTES, pids=PIDS, existing=st.sampled_from(["keep", "reset"]))
    | st.builds(protocol.Release, pids=PIDS)
    | st.builds(protocol.Explain, pid=st.none() | st.integers(1, 1 << 22), destination=WORDS)
    | st.builds(protocol.Ps)
    | st.builds(protocol.Watch)
)


@given(REQUESTS)
def test_a_request_is_read_as_it_was_written(request: protocol.Request) -> None:
    assert protocol.read_request(_text(protocol.frame(request))) == request


@given(st.binary())
def test_nonsense_is_refused_in_words(text: bytes) -> None:
    with pytest.raises(ProcrouteError) as refused:
        protocol.read_request(text)
    assert refused.value.code in {"protocol", "protocol-version"}
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b'{"do":"assign","route":{"via":"wan1"},"pidz":[4]}', "pidz"),
        (b'{"do":"assign","route":{"via":"wan1","strikt":true},"pids":[4]}', "strikt"),
        (b'{"do":"assign","route":{"via":""},"pids":[4]}', "route.via"),
        (b'{"do":"assign","route":{"via":"wan1"},"pids":[0]}', "pids"),
        (b'{"do":"assign","route":{"via":"wan1"},"pids":["4"]}', "pids"),
        (b'{"do":"fly"}', "fly"),
        (b'{"id":1}', "do"),
    ],
)
def test_what_is_not_known_is_named(text: bytes, what: str) -> None:
    with pytest.raises(ProcrouteError, match=what):
        protocol.read_request(text)


def test_the_id_is_found_where_the_rest_is_not_understood() -> None:
    assert protocol.asked_id(b'{"do":"fly","id":7}') == (7, protocol.VERSION)
    assert protocol.asked_id(b'{"do":"fly","id":-7,"v":9}') == (0, 9)
    assert protocol.asked_id(b"[]") == (0, protocol.VERSION)


def test_replies_and_events_come_back() -> None:
    assignment = protocol.Assignment(3, "wan1", "wan1", "run", 1000, 1000, "/procroute.slice")
    reply = protocol.Placed(id=7, assignment=assignment, notes=["x"])
    assert protocol.read_reply(_text(protocol.frame(reply))) == reply
    event = protocol.Removed(at=1.5, assignment=assignment, why="ended")
    assert protocol.read_event(_text(protocol.frame(event))) == event
    with pytest.raises(ProcrouteError):
        protocol.read_reply(b"{}")
    with pytest.raises(ProcrouteError):
        protocol.read_event(b'{"event":"flood"}')


@pytest.mark.promise("ERR-08")
def test_a_name_that_is_no_utf8_is_told() -> None:
    """As Python gives arguments whose bytes are none (PEP 383)."""
    with pytest.raises(ProcrouteError, match=r"^gr\?n is no UTF-8") as told:
        protocol.frame(protocol.Assign(route=protocol.Wanted("wan1"), name="gr\udcfcn"))
    assert told.value.code == "usage"
