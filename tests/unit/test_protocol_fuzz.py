"""Frames that are nearly right: each is read, or refused in words; nothing else ever comes of them.

PROCROUTE_FRAMES says how many are tried, if not 5,000.
"""

from __future__ import annotations

import json
import os
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procroute import protocol
from procroute.errors import ProcrouteError

FRAMES = int(os.environ.get("PROCROUTE_FRAMES", "5000"))

_OF_EACH = 10
"""So many frames are made of one request: drawing it costs more than reading."""

_WORD = st.sampled_from(["wan1", "x", "", "\x00", "\ud800", "\u202e", "a" * 5000, "reset", "keep", "9.9.9.9"])
_NUMBERS = st.lists(st.integers(1, 1 << 22), max_size=2)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": st.integers(0, (1 << 53) - 1),
    "v": st.just(1),
    "route": st.fixed_dictionaries(
        {"via": st.just("wan1")},
        optional={"strict": st.booleans(), "gateway6": _WORD, "dns": st.lists(_WORD, max_size=2)},
    ),
    "command": st.lists(_WORD, max_size=2),
    "pids": _NUMBERS,
    "ids": _NUMBERS,
    "pid": st.integers(1, 1 << 22),
    "name": _WORD,
    "unit": _WORD,
    "destination": _WORD,
    "tree": st.booleans(),
    "servers": st.booleans(),
    "sockets": st.booleans(),
    "existing": st.sampled_from(["keep", "reset"]),
}
_OF = {
    "run": ["route", "command"],
    "assign": ["route", "pids", "tree", "existing"],
    "release": ["ids", "pids", "existing"],
    "ps": ["sockets"],
    "explain": ["pid", "unit", "destination"],
    "watch": [],
}
_GONE = object()
_WRONG = [
    *(_GONE, None, True, "", "wan1", "reset", "\x00", "\ud800", "a" * 5000, [], {}, [None], {"via": "x"}),
    *(0, 1, -1, 4711, 1 << 22, (1 << 22) + 1, 1 << 53, 1 << 64, -(1 << 70), 0.5, 1e308),
    *([0], [1], [1 << 23], ["4"], ["9.9.9.9"] * 17, [1.0]),
]
_KEYS = ["do", *_FIELDS, "via", "strict", "dns", "gateway4", "pidz"]
_INSTEAD = [b"", b"\0", b"\xff", b"{", b'"', b"9", b"[", b"\\", b"]}"]
_CHANGE = st.tuples(
    st.sampled_from(["request", "request", "route", "text"]),
    st.sampled_from(_KEYS),
    st.sampled_from(_WRONG),
    st.integers(0, 1000),
)


@st.composite
def nearly(draw: st.DrawFn) -> list[bytes]:
    """The JSON of a request, and the same with something wrong in it, or with one thing more than before."""
    kind = draw(st.sampled_from(sorted(_OF)))
    request: dict[str, Any] = {"do": kind}
    request |= {name: draw(_FIELDS[name]) for name in ["id", "v", *_OF[kind]]}
    frames = [_text(request)]
    for place, key, wrong, at in draw(st.lists(_CHANGE, min_size=_OF_EACH - 1, max_size=_OF_EACH - 1)):
        if place == "text":
            text = frames[0]
            frames.append(text[: at % len(text)] + _INSTEAD[at % len(_INSTEAD)] + text[at % len(text) + 1 :])
            continue
        changed = json.loads(frames[0] if at % 3 else frames[-1] if _is_object(frames[-1]) else frames[0])
        inner = changed.get("route") if place == "route" else changed
        inner = inner if isinstance(inner, dict) else changed
        if wrong is _GONE:
            inner.pop(key, None)
        else:
            inner[key] = wrong
        frames.append(_text(changed))
    return frames


def _text(request: object) -> bytes:
    return json.dumps(request).encode()


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@pytest.mark.promise("CLIENT-11")
@settings(max_examples=FRAMES // _OF_EACH, suppress_health_check=list(HealthCheck))
@given(nearly())
def test_what_is_nearly_a_request_is_read_or_refused_in_words(frames: list[bytes]) -> None:
    for text in frames:
        try_it(text)


def try_it(text: bytes) -> bool:
    """Whether it was read; AssertionError where neither that nor an error in words comes of it."""
    asked, version = protocol.asked_id(text)
    assert 0 <= asked < 1 << 53
    try:
        request = protocol.read_request(text)
    except ProcrouteError as e:
        said = e
    else:
        assert isinstance(request, protocol.Request)
        assert (request.id, request.v) == (asked, version)
        again = protocol.frame(request)[protocol.LENGTH.size :]
        assert protocol.read_request(again) == request
        assert set(json.loads(text)) <= {*request.__struct_fields__, "do"}
        return True
    assert said.code in {"protocol", "protocol-version"}
    assert said.message
    assert said.hint
    return False


@pytest.mark.promise("CLIENT-11")
def test_they_are_near_enough_that_many_are_read() -> None:
    """Else nothing but the first check of the reader would have been tried."""
    read: list[bool] = []

    @settings(max_examples=50, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(nearly())
    def count(frames: list[bytes]) -> None:
        read.extend(map(try_it, frames))

    count()
    assert 0.05 < sum(read) / len(read) < 0.8


@pytest.mark.promise("CLIENT-11")
@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"do":' * 50_000, b'{"id":' + b"9" * 100_000 + b"}"])
def test_depth_and_length_are_refused_too(text: bytes) -> None:
    with pytest.raises(ProcrouteError):
        protocol.read_request(text)


def test_a_reader_that_takes_unknown_keys_would_be_noticed() -> None:
    class Lenient(msgspec.Struct):
        pids: list[int] = []

    text = b'{"pids":[1],"pidz":[2]}'
    assert not set(json.loads(text)) <= set(msgspec.json.decode(text, type=Lenient).__struct_fields__)
