"""What was found in files of people's, for them and for programs (docs/json.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from msgspec import structs

from procroute.cli import output
from procroute.terminal import printable
from procroute.written.finding import Finding

_VERSION = 1
_ERROR, _WARNING, _GOOD = "31", "33", "32"


def show(found: Sequence[Finding], counted: Mapping[str, int], *, as_json: bool) -> None:
    """Print findings. counted: how many of what was read."""
    if as_json:
        plain = [structs.asdict(finding) for finding in found]
        output.answer(json.dumps({"version": _VERSION, **counted, "findings": plain}, indent=2))
        return
    for finding in found:
        kind, colour = ("error", _ERROR) if finding.error else ("warning", _WARNING)
        output.line(printable(f"{finding.place}: {kind}: {finding.message}"), colour)
        if finding.hint:
            output.line(printable(f"  hint: {finding.hint}"))
    errors = sum(f.error for f in found)
    read = ", ".join(_many(number, what) for what, number in counted.items())
    words = f"{read}; {_many(errors, 'errors')}, {_many(len(found) - errors, 'warnings')}"
    output.line(words, _ERROR if errors else "" if found else _GOOD)


def _many(number: int, what: str) -> str:
    return f"{number} {what.removesuffix('s') if number == 1 else what}"
