"""What import-linter cannot see: start-up stays cheap, and every module has a place in the order."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each costs more than a tenth of the interpreter's own start.
HEAVY = {"asyncio", "hypothesis", "msgspec", "nftables", "psutil", "pyroute2", "rich", "textual"}
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
