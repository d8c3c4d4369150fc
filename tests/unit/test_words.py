"""Processes as people know them, and nothing that could steer a terminal."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute.engine.words import describe
from procroute.terminal import printable


@given(st.text())
def test_what_is_printable_cannot_steer_a_terminal(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert not any(unicodedata.category(c).startswith(("C", "Z")) and c != " " for c in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sleep", "sleep"),
        ("größe 1", "größe 1"),
        ("\x1b]0;x\x07", "?]0;x?"),
        ("a\nb", "a?b"),
        ("\u202eevil", "?evil"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.promise("CLI-08", "CLEAN-04")
def test_a_process_has_its_name_and_number() -> None:
    with open("/proc/self/comm", encoding="utf-8") as file:
        name = file.read().strip()
    assert describe(os.getpid()) == f"{name} (pid {os.getpid()})"


def test_a_process_that_has_gone_or_cannot_be_seen() -> None:
    assert describe(2**22 + 1) == f"a process (pid {2**22 + 1})"
    assert describe(0) == "a process outside this pid namespace"
