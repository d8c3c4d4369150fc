"""docs/protocol.md shows each message as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from procroute import protocol
from procroute.client.answers import REPLY_TO
from procroute.places import SOCKET

pytestmark = pytest.mark.promise("CLIENT-10")
PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^### ([\w-]+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
READ: dict[str, Any] = {
    "request": protocol.read_request,
    "reply": protocol.read_reply,
    "event": protocol.read_event,
}
NAMED_BY = {"request": "do", "reply": "is", "event": "event"}


@pytest.mark.parametrize(("title", "text"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_each_example_is_such_a_message(title: str, text: str) -> None:
    ((kind, example),) = re.findall(r"^```json (\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    plain = json.loads(example)
    assert plain[NAMED_BY[kind]] == title
    message = READ[kind](example.encode())
    # Nothing in it is passed over: what it is written as has all of the example that is not a default.
    written = json.loads(msgspec.json.encode(message))
    assert not missing(plain, written)


def missing(example: Any, written: Any) -> list[str]:
    """The keys of an example that a message does not have. Defaults are left out when it is written."""
    if isinstance(example, list):
        return [key for one, other in zip(example, written, strict=True) for key in missing(one, other)]
    if not isinstance(example, dict):
        return []
    found = [k for k, v in example.items() if k not in written and v not in (1, "keep", "/", [], {})]
    return found + [k for key in example.keys() & written.keys() for k in missing(example[key], written[key])]


def tag_of(kind: Any) -> str:
    """By what a message is known."""
    return str(kind.__struct_config__.tag)


def test_what_is_not_a_messages_would_be_noticed() -> None:
    assert missing({"a": [{"b": 2, "c": 3}]}, {"a": [{"b": 2}]}) == ["c"]


def test_there_is_one_of_each() -> None:
    tags = {
        tag_of(message)
        for union in (protocol.Request, protocol.Reply, protocol.Event)
        for message in get_args(union)
    }
    assert sorted(title for title, _ in EXAMPLES) == sorted(tags)


def test_each_request_leads_to_its_reply() -> None:
    for request, reply in REPLY_TO.items():
        tag, answer = map(tag_of, (request, reply))
        (text,) = (text for title, text in EXAMPLES if title == tag)
        assert f"→ [{answer}](#{answer})" in text


def test_limits_and_names_are_those_of_the_code() -> None:
    assert f"{protocol.REQUEST_LIMIT:,} bytes of JSON (2^18)" in PAGE
    assert f"{protocol.REPLY_LIMIT:,} (2^26)" in PAGE
    assert f"now {protocol.VERSION};" in PAGE
    assert f"`{SOCKET}`" in PAGE
