"""How messages are written and read."""

from __future__ import annotations

import struct
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from procroute.errors import ProcrouteError
from procroute.protocol.events import Event
from procroute.protocol.replies import Reply
from procroute.protocol.requests import Request
from procroute.protocol.values import VERSION
from procroute.terminal import printable

REQUEST_LIMIT: Final = 1 << 18
"""Bytes of JSON that a request may have."""
REPLY_LIMIT: Final = 1 << 26
"""Bytes of JSON that a reply or an event may have."""
_BY_PID: Final = "a process can be named by its PID"
LENGTH: Final = struct.Struct(">I")

_request_decoder: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
_reply_decoder: Final[msgspec.json.Decoder[Reply]] = msgspec.json.Decoder(Reply)
_event_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)
_encode: Final = msgspec.json.Encoder().encode


class _Head(Struct):
    """What can be said of a request that is not understood."""

    id: int = 0
    v: int = VERSION


_Versioned = TypeVar("_Versioned", bound=Request | _Head)


def frame(message: Request | Reply | Event) -> bytes:
    """A message as it is sent. Raises ProcrouteError usage where a text in a request is no UTF-8."""
    if not isinstance(message, Request):
        text = written(message)
        return LENGTH.pack(len(text)) + text
    try:
        text = _encode(message)
    except UnicodeEncodeError as e:
        named = printable(e.object)
        raise ProcrouteError("usage", f"{named} is no UTF-8, and so cannot be asked for", _BY_PID) from e
    return LENGTH.pack(len(text)) + text


def written(message: Struct) -> bytes:
    """A message as JSON. Names of the kernel's may be any bytes: U+FFFD stands for what is no UTF-8."""
    try:
        return _encode(message)
    except UnicodeEncodeError:
        return _encode(_readable(msgspec.to_builtins(message)))


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="surrogateescape").decode(errors="replace")
    if isinstance(value, dict):
        return {_readable(key): _readable(each) for key, each in value.items()}
    return [_readable(each) for each in value] if isinstance(value, list) else value


def read_request(text: bytes) -> Request:
    """A request, from the JSON of a frame.

    Raises ProcrouteError protocol, with what is wrong, and protocol-version for another version.
    """
    try:
        return _of_this_version(_request_decoder.decode(text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        if asked_id(text)[1] != VERSION:
            _of_this_version(_Head(*asked_id(text)))
        raise ProcrouteError("protocol", f"the request is not understood: {e}", "see docs/protocol.md") from e


def _of_this_version(request: _Versioned) -> _Versioned:
    if request.v != VERSION:
        raise ProcrouteError(
            "protocol-version",
            f"the daemon speaks version {VERSION} of the protocol, not {request.v}",
            "restart procrouted after an upgrade",
        )
    return request


def asked_id(text: bytes) -> tuple[int, int]:
    """The id and the version that a request carries, also where the rest of it makes no sense; else 0."""
    try:
        head = msgspec.json.decode(text, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0, VERSION
    return (head.id if 0 <= head.id < 1 << 53 else 0), head.v


def read_reply(text: bytes) -> Reply:
    """A reply, from the JSON of a frame. Raises ProcrouteError protocol."""
    try:
        return _reply_decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise ProcrouteError("protocol", f"the daemon's answer is not understood: {e}") from e


def read_event(text: bytes) -> Event:
    """An event, from the JSON of a frame. Raises ProcrouteError protocol."""
    try:
        return _event_decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise ProcrouteError("protocol", f"the daemon's event is not understood: {e}") from e
