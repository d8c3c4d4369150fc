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


def imported_by(code: str) -> set[str]:
    """Top-level modules that are loaded after `code` ran in an interpreter of its own."""
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.promise("FND-02")
@pytest.mark.parametrize("module", ["procroute", "procroute.__main__", "procroute.errors"])
def test_start_imports_nothing_heavy(module: str) -> None:
    assert not imported_by(f"import {module}") & HEAVY


@pytest.mark.promise("FND-02")
def test_heavy_modules_would_be_noticed() -> None:
    assert "pyroute2" in imported_by("import pyroute2")


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
