"""Names as systemd writes them, so that the tree of targets can be spoken of in unit files."""

from __future__ import annotations

import string

_PLAIN = frozenset(string.ascii_letters + string.digits + ":_.")
_UNITS = (".service", ".scope", ".socket", ".mount", ".swap")  # systemd.unit(5): those that have processes
_ENDINGS = (*_UNITS, ".slice", ".target", ".timer", ".path", ".automount", ".device")


def completed(name: str) -> str:
    """A unit's name with its ending: without one of systemd's a service is meant, as by systemctl(1)."""
    return name if name.endswith(_ENDINGS) else f"{name}.service"


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


def unit_of(cgroup: str) -> str:
    """The unit that a cgroup of systemd's is, or lies in: the innermost; empty: in none.

    Source: https://systemd.io/CGROUP_DELEGATION; a name that a file of the kernel's could have gets a `_`.
    """
    return next((p.removeprefix("_") for p in reversed(cgroup.split("/")) if p.endswith(_UNITS)), "")
