"""A command that cannot be executed as it stands: a script without #!, and what helps where nothing is."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from procroute.engine.execute import failure, hint_for_missing

_EXECUTE = """
import os, sys
from procroute.engine.execute import execute
try:
    execute(sys.argv[1:], os.environ)
except OSError as e:
    sys.exit(e.errno)
"""


def run(*command: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Execute a command, with a folder before all others in PATH; the status is an errno where it failed."""
    environment = os.environ | {"PATH": f"{path}:{os.environ['PATH']}"}
    words = [sys.executable, "-c", _EXECUTE, *command]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """An executable script without a #! line."""
    file = tmp_path / "tell"
    file.write_text('echo "$0|$1|$2"\nexit 7\n')
    file.chmod(0o755)
    return file


@pytest.mark.promise("CLI-03")
@pytest.mark.parametrize("by", ["name", "path"])
def test_a_script_without_its_line_is_run_by_sh(script: Path, by: str) -> None:
    done = run("tell" if by == "name" else str(script), "a b", "-c", path=script.parent)
    assert (done.returncode, done.stdout, done.stderr) == (7, f"{script}|a b|-c\n", "")


@pytest.mark.promise("CLI-03")
def test_a_program_for_another_machine_is_not_given_to_sh(script: Path) -> None:
    script.write_bytes(b"\x7fELF\x02\x01\x01\0" + bytes(64))
    done = run(str(script), path=script.parent)
    assert (done.returncode, done.stderr) == (errno.ENOEXEC, "")


@pytest.mark.promise("CLI-03", "ERR-08")
def test_an_empty_word_is_no_command(tmp_path: Path) -> None:
    done = run("", path=tmp_path)
    assert (done.returncode, done.stderr) == (errno.ENOENT, "")
    told = failure("", errno.ENOENT)
    assert (told.code, told.message) == ("command-not-found", "'': command not found")
    assert "not set" in told.hint


@pytest.mark.promise("CLI-03")
@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("curl example.org", "several words in one: leave out the quotes, or sh -c"),
        ("cd", "cd is a word of the shell: sh -c 'cd …'"),
        ("export", "export is a word of the shell: sh -c 'export …'"),
        ("mytool", ""),
        ("./mytool", ""),
    ],
)
def test_what_a_missing_command_was_probably_meant_for(
    command: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert hint_for_missing(command) == hint


@pytest.mark.promise("CLI-03")
def test_under_sudo_path_is_sudos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "me")
    assert "PATH is sudo's here" in hint_for_missing("mytool")
    assert hint_for_missing("./mytool") == ""
    assert "several words" in hint_for_missing("a b")
