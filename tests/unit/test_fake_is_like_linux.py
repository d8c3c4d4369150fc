"""The fake kernel takes, refuses and keeps what Linux does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.root
@pytest.mark.promise("FND-07")
@pytest.mark.parametrize("seeds", [(0, 3), (3, 6)], ids=str)
def test_the_fake_does_as_linux_does(seeds: tuple[int, int]) -> None:
    program = [sys.executable, "-m", "tests.unit.fake_beside_linux", *map(str, seeds)]
    done = subprocess.run(
        ["unshare", "--net", *program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
