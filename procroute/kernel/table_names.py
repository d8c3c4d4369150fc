"""Names of our tables for ip(8): /etc/iproute2/rt_tables.d/procroute.conf."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from procroute.identity import TABLE_NAMES_FILE

_HEAD = "# written by procroute while routes are in use\n"


def read(file: Path = Path(TABLE_NAMES_FILE)) -> dict[int, str]:
    """Number -> name, as we wrote them."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    words = (line.split() for line in lines if not line.startswith("#"))
    return {int(w[0]): w[1] for w in words if len(w) == 2 and w[0].isdigit()}


def write(names: Mapping[int, str], file: Path = Path(TABLE_NAMES_FILE)) -> None:
    """Write the names, or remove the file when there are none. Names are a comfort: a read-only /etc is no error."""
    with contextlib.suppress(OSError):
        if not names:
            file.unlink(missing_ok=True)
            return
        new = file.with_suffix(".new")
        new.write_text(_HEAD + "".join(f"{n}\t{name}\n" for n, name in sorted(names.items())))
        new.replace(file)
