"""What checks send and take for an answer."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute.core import probe_messages as messages
from procroute.lab import names
from procroute.model import Family

pytestmark = pytest.mark.promise("HEALTH-04")
TOKEN = b"0123456789abcdef"
FAMILIES = st.sampled_from(Family)


def reply(family: Family, number: int, token: bytes) -> bytes:
    """As a raw socket gives it."""
    kind = 0 if family is Family.IPV4 else 129
    header = b"\x46" + bytes(23) if family is Family.IPV4 else b""  # with an option
    return header + struct.pack("!BBHHH", kind, 0, 0, number, 1) + token


@given(FAMILIES, st.integers(0, 0xFFFF), st.binary(max_size=64))
def test_the_answer_to_a_ping_is_its_own_only(family: Family, number: int, token: bytes) -> None:
    assert messages.is_echo_reply(family, reply(family, number, token), number, token)
    assert not messages.is_echo_reply(family, reply(family, number ^ 1, token), number, token)
    assert not messages.is_echo_reply(family, reply(family, number, token + b"x"), number, token)
    request = messages.echo_request(family, number, token)
    assert not messages.is_echo_reply(family, (b"\x45" + bytes(19) + request), number, token)


@given(FAMILIES, st.binary(max_size=80))
def test_what_is_no_answer_is_passed_over(family: Family, packet: bytes) -> None:
    assert not messages.is_echo_reply(family, packet, 7, TOKEN)
    assert messages.dns_failure(packet, messages.dns_query(family, 7, "example.org")) is None


def test_the_checksum_is_right() -> None:
    """All words of a message with its checksum add up to ones (RFC 1071)."""
    message = messages.echo_request(Family.IPV4, 0x1234, b"odd")
    words = struct.unpack("!6H", message + b"\0")
    assert sum(words) % 0xFFFF == 0


@given(FAMILIES, st.integers(0, 0xFFFF))
def test_a_question_is_one(family: Family, number: int) -> None:
    asked = names.question(messages.dns_query(family, number, "a.example.org."))
    assert asked is not None
    assert (asked.identity, asked.name) == (number, "a.example.org")
    assert asked.type == ("A" if family is Family.IPV4 else "AAAA")


@pytest.mark.parametrize(
    ("rcode", "words"),
    [
        (0, ""),
        (2, "answered SERVFAIL"),
        (3, "answered NXDOMAIN"),
        (5, "answered REFUSED"),
        (11, "answered rcode 11"),
    ],
)
def test_a_name_server_that_refuses_is_a_failure(rcode: int, words: str) -> None:
    query = messages.dns_query(Family.IPV4, 7, "example.org")
    answer = bytearray(query)
    answer[2:4] = (0x8180 | rcode).to_bytes(2, "big")
    assert messages.dns_failure(bytes(answer), query) == words
    answer[1] ^= 1
    assert messages.dns_failure(bytes(answer), query) is None, "of another query"
    assert messages.dns_failure(query, query) is None, "a question"


@pytest.mark.parametrize(
    ("line", "statuses", "words"),
    [
        (b"HTTP/1.1 200 OK\r", (), ""),
        (b"HTTP/1.0 302\r", (), ""),
        (b"HTTP/1.1 404 Not Found", (), "answered 404"),
        (b"HTTP/1.1 500 Oops", (), "answered 500"),
        (b"HTTP/1.1 401 Who", (401,), ""),
        (b"HTTP/1.1 200 OK", (204,), "answered 200"),
        (b"HTTP/2 200", (), "the answer is no HTTP"),
        (b'{"router": "wan1"}', (), "the answer is no HTTP"),
        (b"HTTP/1.1 2x0 OK", (), "the answer is no HTTP"),
        (b"", (), "the answer is no HTTP"),
    ],
)
def test_statuses(line: bytes, statuses: tuple[int, ...], words: str) -> None:
    assert messages.http_failure(line, statuses) == words


def test_a_page_is_asked_for() -> None:
    text = messages.http_request("example.org:8080", "/up?a=b").decode()
    assert text.startswith("GET /up?a=b HTTP/1.1\r\nHost: example.org:8080\r\n")
    assert text.endswith("Connection: close\r\n\r\n")
