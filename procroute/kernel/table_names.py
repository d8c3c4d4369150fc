"""Names of our tables for ip(8): /etc/iproute2/rt_tables.d/procroute.conf."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from procroute.identity import TABLE_NAMES_FILE

_HEAD = "# written by procroute while routes are in use\n"


def read(file: Path = Path(TABLE_NAMES_FILE)) -> dict[int, str]:
    """Number -> name, as we wrote them; a file that was not finished has a name for no table."""
    try:
        text = file.read_text()
    except OSError:
        return {}
    if not text.startswith(_HEAD):
        return {0: "unfinished"}
    lines = text.splitlines()
    words = (line.split() for line in lines if not line.startswith("#"))
    return {int(w[0]): w[1] for w in words if len(w) == 2 and w[0].isdigit()}


def write(names: Mapping[int, str], file: Path = Path(TABLE_NAMES_FILE)) -> None:
    """Write the names, or remove the file when there are none.

    Names are a comfort: a read-only /etc is no error.
    """
    with contextlib.suppress(OSError):
        if not names:
            file.unlink(missing_ok=True)
            return
        file.write_text(_HEAD + "".join(f"{n}\t{name}\n" for n, name in sorted(names.items())))
