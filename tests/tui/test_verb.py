"""The verb: what it loads, and what it says where it cannot open anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute_tui import starting
from tests.daemon_stand_in import StandIn
from tests.tui.fake_daemon import ADAPTERS, ASSIGNMENTS, NOW, PROCESSES, traffic

ROOT = Path(__file__).parents[2]


def tui(*words: str, path: str, code: str = "", user: int | None = None) -> subprocess.CompletedProcess[str]:
    run = f"{code}\nimport sys; from procroute.cli.main import main; sys.exit(main(['tui', *sys.argv[1:]]))"
    return subprocess.run(
        [sys.executable, "-c", run, *words],
        cwd=ROOT,
        env={**os.environ, "PROCROUTE_SOCKET": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        user=user,
    )


@pytest.mark.promise("VIEW-14")
def test_without_textual_it_says_how_to_get_it(tmp_path: Path) -> None:
    done = tui(
        "--screenshot", "x.svg", path=f"{tmp_path}/none", code="import sys; sys.modules['textual'] = None"
    )
    assert done.returncode == 125
    assert "the Python package textual is missing" in done.stderr
    assert "make setup-tui" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.promise("VIEW-14")
def test_other_verbs_do_not_load_it() -> None:
    code = "import procroute.cli.tui, procroute.cli.main as m, sys; m._parser(['ps']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not {"textual", "procroute_tui"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size", "80x24"], "--size is for --screenshot"),
        (["--screenshot", "x.svg", "--size", "80"], "columns x rows"),
        (["--screenshot", "x.svg", "--size", "9999x9999"], "columns x rows"),
        (["--screenshot", "x.svg", "--size", "20x5"], "columns x rows"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, words: list[str], said: str) -> None:
    done = tui(*words, path=f"{tmp_path}/none")
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


@pytest.mark.promise("VIEW-12")
def test_without_a_daemon_others_are_told_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCROUTE_SOCKET", f"{tmp_path}/none")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ProcrouteError) as raised:
        starting.main(f"{tmp_path}/x.svg", None)
    assert (raised.value.code, raised.value.status) == ("daemon-missing", 125)
    assert "sudo procroute daemon" in raised.value.hint
    assert "sudo procroute tui" in raised.value.hint


def test_without_a_terminal_it_names_the_screenshot(tmp_path: Path) -> None:
    done = tui(path=f"{tmp_path}/none")
    assert done.returncode == 125
    assert "--screenshot FILE.svg" in done.stderr


def answer(request: protocol.Request) -> object:
    if isinstance(request, protocol.Watch):
        assert request.processes
        assert request.traffic == 1.0
        watching = protocol.Watching(assignments=ASSIGNMENTS, processes=PROCESSES)
        return [watching, traffic(NOW, 1), traffic(NOW + 1, 2)]
    if isinstance(request, protocol.Adapters):
        return protocol.AdapterList(adapters=ADAPTERS)
    return protocol.Assignments(assignments=ASSIGNMENTS)


@pytest.mark.promise("VIEW-11")
def test_screenshot_needs_no_terminal_and_names_no_host(tmp_path: Path) -> None:
    with StandIn(tmp_path, answer) as daemon:  # type: ignore[arg-type]
        done = tui("--screenshot", f"{tmp_path}/x.svg", "--size", "100x30", path=daemon.path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        bad = tui("--screenshot", f"{tmp_path}/none/x.svg", path=daemon.path)
    svg = (tmp_path / "x.svg").read_text(encoding="utf-8")
    assert "firefox" in svg
    assert "lte0~strict" in svg
    assert "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert bad.returncode == 125
    assert "cannot be written" in bad.stderr


@pytest.mark.promise("VIEW-11")
def test_screenshot_of_a_daemon_that_refuses_says_why(tmp_path: Path) -> None:
    def refuse(_: protocol.Request) -> protocol.Error:
        return protocol.Error(code="busy", message="too many clients", hint="fewer")

    with StandIn(tmp_path, refuse) as daemon:
        done = tui("--screenshot", f"{tmp_path}/x.svg", path=daemon.path)
    assert done.returncode == 125
    assert "too many clients" in done.stderr
    assert "Traceback" not in done.stderr
