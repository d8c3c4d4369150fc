"""`procroute demo` as a user calls it, and what it says when something is not as promised."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest

from procroute.cli import demonstration, output
from procroute.cli.demonstration import CameOut, Shown, Step
from procroute.lab import WAN1, WAN2, Lab
from tests.lab.host import the_host

DEMO = [sys.executable, "-m", "procroute", "demo"]


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DEMO, *options], capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.promise("DEMO-01", "DEMO-02")
def test_the_demo_shows_who_came_out_where_and_touches_nothing() -> None:
    host = the_host()
    done = demo("--json")
    assert done.returncode == 0, done.stderr + done.stdout
    shown = json.loads(done.stdout)
    assert [step["via"] for step in shown["steps"]] == ["", "wan1", "wan2"]
    for step, router in zip(shown["steps"], ("wan2", "wan1", "wan2"), strict=True):
        assert {step[name]["router"] for name in ("ipv4", "ipv6", "names")} == {router}
        assert step["elsewhere"] == 0
    assert shown["changed"] == []
    assert the_host() == host


@pytest.mark.promise("DEMO-01")
def test_the_demo_is_for_people() -> None:
    done = demo()
    assert done.returncode == 0
    for word in ("without", "--via wan1", "198.51.100.2", "2001:db8:2::2", "✔ yes"):
        assert word in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr.count("\n") == 4


def test_a_leak_is_shown() -> None:
    """Red check: a command without procroute leaves by wan2, and so does not pass for one by wan1."""
    with Lab() as lab:
        step = demonstration._step(lab, None, WAN1, lambda _: None)
    assert not step.kept
    assert step.ipv4.router == "wan2"
    assert step.elsewhere > 0
    text = Shown((step,), ()).as_table()
    assert "✘ no" in text
    assert "1 of 1 did not come out as promised" in text


@pytest.mark.parametrize(
    ("router", "elsewhere", "status"), [("wan2", 0, 0), ("wan1", 1, 0), ("wan1", 0, 125), ("", 0, 0)]
)
def test_each_way_to_fail_counts(router: str, elsewhere: int, status: int) -> None:
    good = CameOut("wan1", "198.51.100.2")
    step = Step("wan1", "wan1", good, CameOut(router, ""), good, elsewhere, status)
    shown = Shown((step,), ())
    assert not shown.kept
    assert "✘" in shown.as_table()


def test_a_change_that_stays_counts() -> None:
    good = CameOut(WAN2.node, WAN2.address4)
    shown = Shown((Step("wan2", "wan2", good, good, good, 0, 0),), ("rules4",))
    assert not shown.kept
    assert "The machine is not as it was: rules4." in shown.as_table()


GOOD = CameOut(WAN2.node, WAN2.address4)
SHOWN = Shown((Step("wan2", "wan2", GOOD, CameOut(WAN2.node, "2001:db8:2::2"), GOOD, 0, 0),), ())


@pytest.mark.parametrize("columns", [0, 40, 60, 79, 80, 200])
def test_nothing_is_wider_than_the_terminal_and_addresses_stay_whole(columns: int) -> None:
    text = re.sub(r"\x1b\[[0-9;]*m", "", SHOWN.as_table(columns))
    assert max(map(len, text.splitlines())) <= (columns or 110)
    assert "2001:db8:2::2" in text
    assert "✔ yes" in text


def test_a_pipe_is_as_wide_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = SHOWN.as_table()
    monkeypatch.setenv("COLUMNS", "40")
    assert SHOWN.as_table() == wide
    assert "\x1b" not in wide


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_what_an_encoding_lacks_is_replaced(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", shown)
    output.answer(SHOWN.as_table())
    shown.seek(0)
    text = shown.read()
    assert ("✔ yes" if encoding == "utf-8" else "+ yes") in text
    assert "?" not in text


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["cleanup", "--help"], ["demo", "--help"]])
def test_help_is_for_every_encoding(words: list[str]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "procroute", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" not in done.stdout
