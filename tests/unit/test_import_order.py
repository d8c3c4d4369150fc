"""What import-linter cannot see: start-up stays cheap, and every module has a place in the order."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from procroute import protocol
from tests.daemon_stand_in import StandIn

ROOT = Path(__file__).parents[2]
# Each costs more than a tenth of the interpreter's own start.
HEAVY = {"asyncio", "hypothesis", "msgspec", "nftables", "psutil", "pyroute2", "rich", "textual", "tomlkit"}
# Those that no run needs from its start: nft only where a reverse path check asks for it, rich for demo.
SELDOM = HEAVY - {"msgspec", "pyroute2"}


def imported_by(code: str) -> set[str]:
    """Top-level modules that are loaded after `code` ran in an interpreter of its own."""
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.promise("FND-02")
@pytest.mark.parametrize("module", ["__main__", "errors", "cli.main", "cli.run", "cli.cleanup", "cli.demo"])
def test_start_imports_nothing_heavy(module: str) -> None:
    assert not imported_by(f"import procroute.{module}") & HEAVY


@pytest.mark.promise("FND-02")
@pytest.mark.parametrize("words", [["run", "--help"], ["--version"], ["run", "--via"], ["walk"]])
def test_nor_does_the_command_line_for_what_it_answers_itself(words: list[str]) -> None:
    run = f"import contextlib, io; from procroute.cli.main import main; words = {words}"
    quietly = "contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())"
    code = f"{run}\nwith contextlib.suppress(SystemExit), {quietly}: main(words)\npass"
    assert not imported_by(code) & HEAVY


@pytest.mark.promise("FND-02")
@pytest.mark.parametrize("module", ["engine.run", "engine.cleanup"])
def test_the_engine_imports_only_what_every_run_needs(module: str) -> None:
    assert not imported_by(f"import procroute.{module}") & SELDOM


@pytest.mark.promise("FND-02")
@pytest.mark.parametrize(
    ("module", "loads"), [("cli.demonstration", "rich"), ("kernel.rules", "pyroute2"), ("model", "msgspec")]
)
def test_what_is_loaded_would_be_noticed(module: str, loads: str) -> None:
    assert loads in imported_by(f"import procroute.{module}")


@pytest.mark.promise("CLIENT-03")
@pytest.mark.parametrize(
    ("code", "but"),
    [
        ("import procroute.client", HEAVY),
        ("from procroute.client import Client", HEAVY - {"msgspec"}),
        ("from procroute.client import AsyncClient", HEAVY - {"msgspec", "asyncio"}),
        *(
            (f"import procroute.cli.{verb}", HEAVY)
            for verb in ("assign", "release", "ps", "watch", "daemon", "tui")
        ),
    ],
)
def test_clients_and_their_verbs_import_only_what_they_need(code: str, but: set[str]) -> None:
    assert not imported_by(code) & but


@pytest.mark.promise("CLIENT-03")
def test_run_by_the_daemon_imports_next_to_nothing(tmp_path: Path) -> None:
    """Beside what an empty interpreter has: the command writes down what was imported before it."""
    placed = protocol.Assignment(3, "wan1", "wan1", "run", 1000, 1000, "/procroute.slice")
    with StandIn(tmp_path, lambda _: protocol.Placed(assignment=placed)) as daemon:
        code = (
            "import sys, os; sys.argv[1:] = ['run', '--via', 'wan1', '--', 'true'];"
            "from procroute.engine import execute; from procroute.__main__ import main;"
            "execute.execute = lambda *_: sys.exit(print(*sys.modules));"
            "main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PROCROUTE_SOCKET": daemon.path, "SUDO_USER": "root"},
            check=True,
            capture_output=True,
            text=True,
        )
        assert daemon.asked
    empty = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], check=True, capture_output=True, text=True
    )
    extra = set(done.stdout.split()) - set(empty.stdout.split())
    assert {name for name in extra if not name.startswith("procroute")} == {
        "__future__",
        "_json",
        "_socket",
        "errno",
    }
    assert {name for name in extra if name.startswith("procroute")} == {
        "procroute",
        "procroute.__main__",
        "procroute.cli",
        "procroute.cli.by_daemon",
        "procroute.cli.quick",
        "procroute.client",
        "procroute.client.connection",
        "procroute.client.failures",
        "procroute.engine",
        "procroute.engine.execute",
        "procroute.errors",
        "procroute.places",
    }


@pytest.mark.promise("FND-01")
def test_every_module_has_a_place_in_the_order() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (contract["layers"] for contract in contracts if contract["id"] == "layers")
    placed = {name.strip(" ()") for layer in layers for name in layer.split("|")}
    modules = {path.stem for path in (ROOT / "procroute").iterdir() if path.suffix == ".py" or path.is_dir()}
    modules -= {"__init__", "__main__", "__pycache__"}
    assert {f"procroute.{name}" for name in modules} <= placed
