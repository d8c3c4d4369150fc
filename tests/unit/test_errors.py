"""Errors are a stable code, a text and a hint, and lead to an exit status."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from procroute.cli import output
from procroute.errors import Exit, ProcrouteError

SOURCE = Path(__file__).parents[2] / "procroute"


def raised() -> dict[str, list[str]]:
    """Every literal code that the source raises, with the files."""
    found: dict[str, list[str]] = {}
    for file in SOURCE.rglob("*.py"):
        for code in re.findall(r'ProcrouteError\(\s*"([^"]+)"', file.read_text(encoding="utf-8")):
            found.setdefault(code, []).append(file.name)
    return found


@pytest.mark.promise("ERR-09", "CLI-03")
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("usage", Exit.USAGE),
        ("processes-alive", Exit.REFUSED),
        ("cleanup-incomplete", Exit.INCOMPLETE),
        ("command-not-executable", Exit.NOT_EXECUTABLE),
        ("command-not-found", Exit.NOT_FOUND),
        ("adapter-unknown", Exit.FAILED),
        ("something-new", Exit.FAILED),
    ],
)
def test_codes_lead_to_exit_statuses(code: str, status: int) -> None:
    assert ProcrouteError(code, "what is wrong").status == status


@pytest.mark.promise("ERR-08")
def test_codes_are_kebab_case_words() -> None:
    assert all(re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", code) for code in raised())
    assert {"usage", "adapter-unknown", "overlap", "config-bad", "kernel-refused"} <= raised().keys()


@pytest.mark.promise("ERR-08")
def test_the_message_is_the_exceptions_text() -> None:
    error = ProcrouteError("overlap", "a rule is in the way", "move it")
    assert (str(error), error.code, error.hint) == ("a rule is in the way", "overlap", "move it")


@pytest.mark.promise("ERR-08", "CLI-07")
def test_errors_go_to_stderr_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    output.error(ProcrouteError("overlap", "a rule is in the way", "move it"))
    output.error(ProcrouteError("overlap", "another one is"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "procroute: a rule is in the way",
        "  hint: move it",
        "procroute: another one is",
    ]
