"""A picture of the screen as an SVG file, with no terminal."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procroute.errors import ProcrouteError

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from procroute_tui.app import Tui

_PATIENCE = 10.0
"""Seconds until something must be on the screen."""
_RATES = 2.5
"""Seconds that are waited for the first rates, which take two totals."""


def take(app: Tui, path: Path, size: tuple[int, int]) -> None:
    """Run it without a terminal until it has been drawn fully, and write what it shows. size: columns, rows.

    Raises ProcrouteError: what the daemon says, screenshot-late, screenshot-failed.
    """
    drawn = asyncio.Event()
    app.first_paint = drawn.set

    async def shoot(pilot: Pilot[Any]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await drawn.wait()
        except TimeoutError:
            error = app.trouble or ProcrouteError(
                "screenshot-late", f"nothing was drawn in {_PATIENCE:.0f} s"
            )
            app.exit(error)
            return
        waited = 0.0
        while waited < _RATES and not app.machine.rates.history:
            await asyncio.sleep(0.1)
            waited += 0.1
        app.draw()
        await pilot.pause()
        app.picture = plain(app.export_screenshot(title="procroute tui"))
        app.exit()

    app.run(headless=True, size=size, auto_pilot=shoot)
    if app.return_value is not None:
        raise app.return_value
    try:
        path.write_text(app.picture, encoding="utf-8")
    except OSError as e:
        raise ProcrouteError("screenshot-failed", f"{path} cannot be written: {e.strerror}") from e


def plain(svg: str) -> str:
    """Without what it would fetch from elsewhere, or names elsewhere: any monospaced font does."""
    svg = re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    return svg.replace("font-family: Fira Code, monospace", "font-family: monospace")
