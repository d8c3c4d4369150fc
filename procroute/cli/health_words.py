"""What health checks have found, for people and for programs (docs/json.md)."""

from __future__ import annotations

import time
from typing import Any

from rich.text import Text

from procroute import protocol
from procroute.core.health import AdapterFound, CheckFound
from procroute.terminal import printable

_COLOURS = {"up": "green", "down": "red", "unknown": "yellow"}
_DAY = 86_400


def lines(found: AdapterFound | None) -> list[Text]:
    """`up since 14:03:07`, or why not; below it the checks that are otherwise."""
    if found is None:
        return []
    since = f" since {clock(found.since)}" if found.since else ""
    others = [check for check in found.checks if check.state != found.state]
    return [
        Text(f"{found.state}{since}", _COLOURS[found.state]),
        *(Text(printable(why)) for why in found.reason.split("; ") if why),
        *(Text(f"{check.state}: {printable(check.reason or check.what)}", "dim") for check in others),
    ]


def plain(found: AdapterFound | protocol.HealthFacts) -> dict[str, Any]:
    """With all checks."""
    return {**_plain(found), "checks": [{"what": c.what, **_plain(c)} for c in found.checks]}


def _plain(
    found: AdapterFound | CheckFound | protocol.HealthFacts | protocol.CheckFacts,
) -> dict[str, Any]:
    return {"state": found.state, "since": found.since, "reason": found.reason}


def clock(at: float) -> str:
    """The time, with the day where that is long ago."""
    recent = time.time() - at < _DAY
    return time.strftime("%H:%M:%S" if recent else "%Y-%m-%d %H:%M", time.localtime(at))
