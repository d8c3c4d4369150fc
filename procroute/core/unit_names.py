"""Names as systemd writes them, so that the tree of targets can be spoken of in unit files."""

from __future__ import annotations

import string

_PLAIN = frozenset(string.ascii_letters + string.digits + ":_.")


def escape(name: str) -> str:
    r"""A string as part of a unit name (systemd-escape(1)): `wg-home` becomes `wg\x2dhome`.

    Unescaped, a `-` in a slice's name would nest it below another route's.
    """
    out = []
    for i, byte in enumerate(name.encode()):
        char = chr(byte)
        out.append(char if char in _PLAIN and not (i == 0 and char == ".") else f"\\x{byte:02x}")
    return "".join(out)


def slice_of(route: str) -> str:
    """The slice of a route's target, below procroute.slice."""
    return f"procroute-{escape(route)}.slice"
