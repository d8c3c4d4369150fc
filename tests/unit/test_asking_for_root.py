"""Kernel tests without root fail and say why; they are never skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import conftest


class Item:
    """As much of a pytest.Item as conftest looks at."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get_closest_marker(self, name: str) -> None:
        return None


@pytest.mark.promise("FND-08")
@pytest.mark.parametrize("folder", ["netns", "lab"])
def test_kernel_tests_fail_with_a_clear_word(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    item = Item(conftest.HERE / folder / "test_something.py")
    with pytest.raises(pytest.fail.Exception, match="needs root"):
        conftest.pytest_runtest_setup(item)  # type: ignore[arg-type]


@pytest.mark.promise("FND-08")
def test_other_tests_need_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    conftest.pytest_runtest_setup(Item(conftest.HERE / "unit" / "test_something.py"))  # type: ignore[arg-type]


@pytest.mark.promise("FND-08")
@pytest.mark.parametrize("target", ["demo", "test", "bench", "test-vm"])
def test_make_says_it_before_it_begins(target: str, tmp_path: Path) -> None:
    """On a machine without sudo, for somebody who is not root."""
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    for program in ("make", "bash", "env", "nproc"):
        found = shutil.which(program)
        assert found, program
        (tmp_path / program).symlink_to(found)
    done = subprocess.run(
        ["make", target],
        cwd=conftest.HERE.parent,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert done.stdout == ""
    assert done.stderr.startswith("procroute: root is needed")
    assert "run it as root, or install sudo" in done.stderr
