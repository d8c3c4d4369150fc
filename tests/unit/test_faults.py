"""The fault hook, and what is tried again: against the fake kernel, or none."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import procroute
from procroute.core import plan
from procroute.daemon.ledger import Ledger
from procroute.engine.reconcile import reconcile
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import faults, files, libbpf, libc
from procroute.kernel.fake import Fake, When
from procroute.kernel.refusal import may_pass, refused
from procroute.model import LiveRoute, Route
from tests.unit.test_applying import MACHINE

PACKAGE = Path(procroute.__file__).parent


class Hook:
    """Has one kind of calls fail; notes all."""

    def __init__(self, call: str, number: int) -> None:
        self.call, self.number = call, number
        self.due_: list[str] = []
        self.done_: list[str] = []

    def due(self, call: str, about: object) -> int:
        """See faults.Hook."""
        self.due_.append(call)
        return self.number if call == self.call else 0

    def done(self, call: str, about: object) -> None:
        """See faults.Hook."""
        self.done_.append(call)


@pytest.fixture
def hooked() -> Iterator[Hook]:
    """A hook that has rmdir fail."""
    hook = Hook("rmdir", errno.ENOMEM)
    faults.hook(hook)
    yield hook
    faults.hook(None)


@pytest.mark.promise("FAULT-01")
def test_what_is_to_fail_is_not_done_and_tells_the_errno(hooked: Hook, tmp_path: Path) -> None:
    files.mkdir(tmp_path / "one")
    with pytest.raises(OSError, match="Cannot allocate memory") as caught:
        files.rmdir(tmp_path / "one")
    assert caught.value.errno == errno.ENOMEM
    assert (tmp_path / "one").is_dir()
    assert (hooked.due_, hooked.done_) == (["mkdir", "rmdir"], ["mkdir"])


@pytest.mark.promise("FAULT-01")
def test_libraries_fail_as_they_would(hooked: Hook) -> None:
    hooked.call = "bpf_prog_get_fd_by_id"
    with pytest.raises(OSError, match="program by id") as caught:
        libbpf.open_program(1)
    assert caught.value.errno == errno.ENOMEM
    hooked.call = "unshare"
    with pytest.raises(OSError, match="Cannot allocate"):
        libc.call("unshare", 0)


@pytest.mark.promise("FAULT-06")
def test_nothing_of_procroute_puts_a_hook() -> None:
    """Neither by a call nor by its name; and faults.py asks the environment for nothing."""
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text())
        named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "procroute.kernel.faults"
            for alias in node.names
        }
        assert "hook" not in imported | (named if "faults" in file.read_text() else set()), file
    used = {
        node.attr
        for node in ast.walk(ast.parse((PACKAGE / "kernel/faults.py").read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert not used & {"environ", "getenv", "open"}


@pytest.mark.promise("FAULT-06")
def test_a_fresh_process_has_none() -> None:
    asked = "from procroute.kernel import faults; import sys; sys.exit(faults._hook is not None)"
    named = dict.fromkeys(("PROCROUTE_FAULTS", "PROCROUTE_FAULT", "PROCROUTE_HOOK"), "1")
    done = subprocess.run([sys.executable, "-c", asked], env={**os.environ, **named}, check=False)
    assert done.returncode == 0


def tries(code: str) -> int:
    """How often a step is tried that is always refused with this code."""
    kernel = Fake(MACHINE, Identity())
    tried: list[plan.Step] = []

    def refuse(step: plan.Step, when: When) -> None:
        if isinstance(step, plan.AddRule) and when is When.BEFORE:
            tried.append(step)
            raise ProcrouteError(code, "no")

    kernel.fault = refuse
    with pytest.raises(ProcrouteError, match="no"):
        reconcile(kernel, kernel.identity, lambda _: [LiveRoute(Route("wan1"), 1)])
    return len(tried)


@pytest.mark.promise("FAULT-05")
def test_what_cannot_succeed_is_tried_once() -> None:
    assert tries("not-root") == 1
    assert tries("kernel-option") == 1
    assert tries("kernel-refused") > 1


@pytest.mark.promise("FAULT-05")
@pytest.mark.parametrize(
    ("number", "passes"),
    [
        (errno.EPERM, False),
        (errno.EROFS, False),
        (errno.EOPNOTSUPP, False),
        (errno.ENOMEM, True),
        (errno.ENOBUFS, True),
        (errno.EBUSY, True),
        (errno.ENOENT, True),
    ],
)
def test_which_refusals_may_pass(number: int, passes: bool) -> None:
    why = OSError(number, os.strerror(number))
    assert may_pass(why) is passes
    wrapped = refused(why, "cgroup", "do it")
    wrapped.__cause__ = why
    assert may_pass(wrapped) is passes
    assert not may_pass(ProcrouteError("usage", "of no errno"))


@pytest.mark.promise("FAULT-02")
def test_a_ledger_that_was_never_read_keeps_the_ids_that_were_given(tmp_path: Path) -> None:
    """A daemon that cannot start ends without having looked."""
    first = Ledger(print, tmp_path, tmp_path / "damaged")
    first.load(lambda _: True)
    assert first.next_id() == 1
    Ledger(print, tmp_path, tmp_path / "damaged").close()
    again = Ledger(print, tmp_path, tmp_path / "damaged")
    again.load(lambda _: True)
    assert again.next_id() == 2
