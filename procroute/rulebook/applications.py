"""Units and desktop applications, as systemd, Flatpak and snapd name cgroups by them. Pure.

Sources: https://systemd.io/DESKTOP_ENVIRONMENTS (Pre-defined systemd units, XDG standardization);
flatpak, common/flatpak-run.c (app-flatpak-ID-N.scope); snapd, sandbox/cgroup/tracking.go and naming.go
(snap.NAME.APP-UUID.scope, before 2.62 snap.NAME.APP.UUID.scope, and snap.NAME.APP.service);
dbus-broker, src/launch/service.c (dbus-:1.2-NAME@0.service: what is started by its name on the bus, which is
the id of an application that can be, by the Desktop Entry Specification, "D-Bus Activation").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

UNIT_ENDINGS: Final = (".service", ".scope", ".socket", ".mount", ".swap", ".slice")
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})")
_SCOPE = re.compile(r"app-(?:[^-]+-)?(?P<id>[^-]+)-[^-]+\.scope")
_SERVICE = re.compile(r"app-(?:[^-@]+-)?(?P<id>[^-@]+)(?:@[^@]*)?\.service")
_ON_BUS = re.compile(r"dbus-:[0-9.]+-(?P<id>.+)@[0-9]+\.service")
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SNAP = re.compile(rf"snap\.(?P<snap>[^.]+)\.(?P<app>[^.]+?)(?:[-.]{_UUID}\.scope|\.service)")


def unescape(name: str) -> str:
    r"""A part of a unit's name as it was before (systemd-escape(1)): `a\x2db` is `a-b`."""
    if "\\" not in name:
        return name
    out, at = bytearray(), 0
    for found in _ESCAPE.finditer(name):
        out += name[at : found.start()].encode(errors="surrogateescape")
        out.append(int(found[1], 16))
        at = found.end()
    out += name[at:].encode(errors="surrogateescape")
    return out.decode(errors="surrogateescape")


@lru_cache(4096)
def units(cgroup: str) -> tuple[str, ...]:
    """The units that a cgroup is or lies in, slices too, the innermost first.

    Source: https://systemd.io/CGROUP_DELEGATION; a name that a file of the kernel's could have gets a `_`.
    """
    return tuple(p.removeprefix("_") for p in reversed(cgroup.split("/")) if p.endswith(UNIT_ENDINGS))


def units_of(cgroup: str, uid: int) -> tuple[str, ...]:
    """Those of a user's own manager alone: what lies below his user@UID.service."""
    manager = _manager(uid)
    return units(cgroup.removeprefix(manager)) if cgroup.startswith(manager) else ()


def unit_around(cgroup: str, uid: int = 0) -> str:
    """The cgroup of the innermost unit that a cgroup is or lies in, slices left out; empty: of none.

    uid: of a user's own manager alone; 0: of any.
    """
    top = _manager(uid) if uid else "/"
    while cgroup.startswith(top) and cgroup != top:
        if cgroup.endswith(UNIT_ENDINGS) and not cgroup.endswith(".slice"):
            return cgroup
        cgroup = cgroup.rpartition("/")[0]
    return ""


def _manager(uid: int) -> str:
    return f"/user.slice/user-{uid}.slice/user@{uid}.service/"


@lru_cache(4096)
def applications(cgroup: str) -> tuple[str, ...]:
    """The desktop application ids that a cgroup stands for; empty: for none.

    A snap's are NAME_APP, as its desktop file is called, and NAME, for all that is in it.
    """
    for unit in units(cgroup):
        if found := _SNAP.fullmatch(unit):
            return (f"{found['snap']}_{found['app']}", found["snap"])
        if found := _SCOPE.fullmatch(unit) or _SERVICE.fullmatch(unit) or _ON_BUS.fullmatch(unit):
            return (unescape(found["id"]),)
    return ()
