"""Names of targets, as systemd would read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute.core.unit_names import escape, slice_of
from procroute.model import Route

# systemd.unit(5): what a unit's name may hold.
VALID = re.compile(r"[A-Za-z0-9:_.\\-]{1,255}")


def unescape(text: str) -> str:
    """systemd-escape(1) --unescape."""
    data = re.sub(
        rb"\\x([0-9a-f]{2})|-", lambda m: bytes([int(m[1], 16)]) if m[1] else b"/", text.encode("ascii")
    )
    return data.decode()


@given(st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), max_size=20))
def test_escaping_can_be_undone(name: str) -> None:
    assert unescape(escape(name)) == name


@given(st.text(min_size=1, max_size=15))
def test_a_slice_is_valid_and_nests_below_ours_only(name: str) -> None:
    name = name.encode(errors="ignore").decode() or "x"
    found = slice_of(name)
    assert VALID.fullmatch(found)
    assert found.count("-") == 1
    assert found.startswith("procroute-")
    assert not found.removeprefix("procroute-").startswith(".")


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("wan1", "wan1"),
        ("wg-home", r"wg\x2dhome"),
        ("eth0.100", "eth0.100"),
        (".hidden", r"\x2ehidden"),
        ("wan1~strict", r"wan1\x7estrict"),
        ("a\\b", r"a\x5cb"),
        ("größe", r"gr\xc3\xb6\xc3\x9fe"),
        ("..", r"\x2e."),
    ],
)
def test_as_systemd_escape_writes_it(name: str, escaped: str) -> None:
    assert escape(name) == escaped


def test_options_are_part_of_a_routes_name() -> None:
    names = {
        Route("wan1").name,
        Route("wan1", strict=True).name,
        Route("wan1", dns=()).name,
        Route("wan1", strict=True, dns=()).name,
        Route("wan2").name,
    }
    assert len(names) == 5
    assert Route("wan1").name == "wan1"
    assert Route("wan1", strict=True).name == "wan1~strict"
    assert re.fullmatch(r"wan1~[0-9a-f]{8}", Route("wan1", dns=()).name)
