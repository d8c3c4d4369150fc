"""Settings that are kept, and a file of them that is not as it should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from procroute_tui import settings
from procroute_tui.settings import Settings
from tests.tui.driving import Driver, driven
from tests.tui.fake_daemon import FakeDaemon, application


@pytest.mark.promise("VIEW-10")
def test_what_is_written_is_read(tmp_path: Path) -> None:
    chosen = Settings("tree", "in", True, True, True, True, ("pid", "name", "route", "in"), "procroute-light")
    path = tmp_path / "new" / "tui.toml"
    settings.write(path, chosen)
    assert settings.read(path) == chosen


@pytest.mark.promise("VIEW-10")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("", Settings(), id="empty"),
        pytest.param("view = [", Settings(), id="no TOML"),
        pytest.param("\xff\x00", Settings(), id="no text"),
        pytest.param('view = "sideways"\nsort = "in"', Settings(sort="in"), id="one bad value"),
        pytest.param("sort = 7\nrouted = true", Settings(routed=True), id="a bad type"),
        pytest.param('sort = "colour"\ncolumns = ["in", "odour"]', Settings(columns=("in",)), id="unknown"),
        pytest.param('flavour = "x"', Settings(), id="an unknown key"),
    ],
)
def test_a_damaged_file_does_no_harm(tmp_path: Path, text: str, found: Settings) -> None:
    path = tmp_path / "tui.toml"
    path.write_bytes(text.encode("latin-1"))
    assert settings.read(path) == found


@pytest.mark.promise("VIEW-10")
def test_no_file_and_no_place(tmp_path: Path) -> None:
    assert settings.read(tmp_path / "none") == Settings()
    (tmp_path / "file").touch()
    settings.write(tmp_path / "file" / "tui.toml", Settings())


@pytest.mark.promise("VIEW-10")
def test_where_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert settings.place() == Path("/somewhere/procroute/tui.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")  # is to be passed over, as the specification says
    monkeypatch.setenv("HOME", "/home/ada")
    assert settings.place() == Path("/home/ada/.config/procroute/tui.toml")


@pytest.mark.promise("VIEW-10")
@driven(settings=Settings("unit", "name", theme="procroute-light", columns=("pid", "name", "route", "user")))
async def test_they_are_obeyed(on: Driver) -> None:
    await on.see("by unit", "by name▲")
    assert "SOCKETS" not in on.screen()
    assert on.app.theme == "procroute-light"


@pytest.mark.promise("VIEW-10")
@driven(settings=Settings(theme="of another version"))
async def test_a_theme_that_is_no_more(on: Driver) -> None:
    assert on.app.theme == settings.DARK


@pytest.mark.promise("VIEW-10")
def test_what_was_chosen_is_kept_at_the_end(tmp_path: Path) -> None:
    import asyncio

    async def use() -> None:
        app = application(FakeDaemon(), place=tmp_path / "tui.toml")
        async with app.run_test() as pilot:
            await pilot.pause()
            await pilot.press("t", "o", "greater_than_sign", "enter")
            app.theme = "nord"
            await pilot.press("q")

    asyncio.run(use())
    kept = settings.read(tmp_path / "tui.toml")
    assert kept == replace(
        Settings(),
        view="tree",
        routed=True,
        sort=kept.sort,
        descending=kept.descending,
        details=True,
        theme="nord",
    )
    assert kept.sort != "route"
