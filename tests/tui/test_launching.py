"""Commands that are started from the application."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from textual.drivers.headless_driver import HeadlessDriver

from procroute.errors import ProcrouteError
from procroute_tui.in_terminal import in_terminal
from procroute_tui.launching import Launch, in_background, outputs
from tests.tui.driving import Driver, driven


class _Straight(Launch, frozen=True):
    """Without `procroute run` before it, which would need a daemon."""

    def words(self) -> list[str]:
        return list(self.command)


def test_its_output_is_kept_in_a_file_of_its_own(tmp_path: Path) -> None:
    launch = _Straight("wan1", (sys.executable, "-c", "print('said this')"))
    path = asyncio.run(in_background(launch, tmp_path / "new"))
    assert path.read_text(encoding="utf-8") == "said this\n"
    assert path.name.startswith("python")


@pytest.mark.promise("VIEW-09")
def test_one_that_fails_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    code = "import sys; print('no such \\x1b[31madapter'); sys.exit(7)"
    with pytest.raises(ProcrouteError) as raised:
        asyncio.run(in_background(_Straight("wan1", (sys.executable, "-c", code)), tmp_path))
    assert (raised.value.code, raised.value.hint) == ("launch-failed", "no such ?[31madapter")
    assert "ended with 7" in raised.value.message


def test_one_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProcrouteError) as raised:
        asyncio.run(in_background(_Straight("wan1", ("/no/such",)), tmp_path))
    assert "cannot be started" in raised.value.message


def test_nor_in_the_terminal() -> None:
    with pytest.raises(ProcrouteError) as raised:
        in_terminal(_Straight("wan1", ("/no/such",)))
    assert raised.value.code == "launch-failed"


def test_where_output_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert outputs() == Path("/state/procroute")


@pytest.mark.promise("VIEW-15", "VIEW-09")
@driven()
async def test_the_terminal_is_taken_back_from_a_command_that_cannot_be_started(on: Driver) -> None:
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Launch, "words", lambda _: ["/no/such"])
        patch.setattr(HeadlessDriver, "can_suspend", True)
        for each in ("suspend_application_mode", "resume_application_mode"):
            patch.setattr(HeadlessDriver, each, lambda _, each=each: done.append(each))
        await on.press("l", *"date", "ctrl+t", "enter")
        await on.see("not done", "date cannot be started: No such file")
    assert done == ["suspend_application_mode", "resume_application_mode"]
    await on.press("t")
    await on.see("· tree ·")
