"""What `unit wrap` writes for systemd: a unit's drop-in, and the unit that has its route there.

    NAME.service.d/50-procroute.conf      Slice=procroute-wan1.slice, Requires= and After= of the next
    procroute-wan1.service                asks the daemon for the route, in whose slice it is itself

The second is a route's *anchor*: it lives as long as a unit needs the route, also one that waits for its
start or restart (systemd.unit(5), StopWhenUnneeded=). While it lives somebody is in the slice, so the slice
is not without its route, whatever becomes of the daemon.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from procroute.core.service_texts import SERVICE, SOCKET, environment_lines, quoted
from procroute.core.unit_names import escape, slice_of
from procroute.protocol import Options

MARK: Final = "# Put here by `procroute unit wrap`; `procroute unit unwrap` takes it away.\n"
"""The first line of each. A file without it is somebody else's."""
DROP_IN: Final = "50-procroute.conf"
_ROUTE: Final = "Route="
_SLICE: Final = "Slice="
_DEVICE: Final = "sys-subsystem-net-devices-{}.device"
# It needs neither rights nor files; it must not be the first to go where memory is short.
_SANDBOX: Final = """OOMScoreAdjust=-900
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
RestrictAddressFamilies=AF_UNIX
"""


class Wrapping(Struct, frozen=True):
    """What a unit is to be wrapped with. name: of its route; stop: it ends with the adapter of that."""

    name: str
    options: Options
    stop: bool = False

    @property
    def slice(self) -> str:
        """Where the unit runs."""
        return slice_of(self.name)

    @property
    def anchor(self) -> str:
        """The unit that has the route there."""
        return anchor_of(self.slice)


class Wrapped(Struct, frozen=True):
    """What a drop-in of ours says. route: as people write it."""

    route: str
    slice: str


def anchor_of(slice_: str) -> str:
    """The unit that has the route of a slice there."""
    return f"{slice_.removesuffix('.slice')}.service"


def drop_in(wrapping: Wrapping) -> str:
    """A unit's drop-in. Sections that begin with X- are for programs alone (systemd.unit(5))."""
    bound = ""
    if wrapping.stop:
        device = _DEVICE.format(escape(wrapping.options.via))
        bound = f"# Where the adapter goes the unit stops.\nBindsTo={device}\nAfter={device}\n"
    words = [wrapping.options.via, *words_of(wrapping.options)[2:], *(["--on-down", "stop"] if bound else [])]
    return f"""{MARK}
[X-Procroute]
{_ROUTE}{shlex.join(words)}

[Unit]
# Before its first process the route is there, or it does not start.
Requires={wrapping.anchor}
After={wrapping.anchor}
{bound}
[Service]
{_SLICE}{wrapping.slice}
"""


def anchor(
    wrapping: Wrapping, program: Sequence[str], environment: Mapping[str, str], *, user: bool = False
) -> str:
    """The unit that has the route there. program: the words before a verb; user: of a user's manager."""
    words = " ".join(map(quoted, [*program, "unit", "anchor", *words_of(wrapping.options)]))
    around = "".join(f"{line}\n" for line in environment_lines(environment))
    described = f"Route {wrapping.name.replace('%', '%%')} of units"
    daemon = f"Wants={SERVICE}\nAfter={SERVICE} {SOCKET} dbus.socket\nIgnoreOnIsolate=yes\n"
    return f"""{MARK}
[Unit]
Description={described}
{"" if user else daemon}# It stays while a unit on its route runs, or waits for its start or restart.
StopWhenUnneeded=yes
StartLimitIntervalSec=0

[Service]
Type=notify
{_SLICE}{wrapping.slice}
{around}ExecStart={words}
TimeoutStartSec=100
NoNewPrivileges=yes
{"" if user else _SANDBOX}"""


def wrapped(text: str) -> Wrapped | None:
    """What a drop-in says; None: it is not ours."""
    if not text.startswith(MARK):
        return None
    lines = text.splitlines()
    route = next((line for line in lines if line.startswith(_ROUTE)), _ROUTE)
    slice_ = next((line for line in lines if line.startswith(_SLICE)), _SLICE)
    return Wrapped(route.removeprefix(_ROUTE), slice_.removeprefix(_SLICE))


def own_slice(text: str) -> str:
    """The Slice= that a unit file or drop-in of others sets; empty: none (systemd.syntax(7))."""
    section, found = "", ""
    for line in text.replace("\\\n", " ").splitlines():
        plain = line.strip()
        if plain.startswith("["):
            section = plain
        elif section == "[Service]" and plain.partition("=")[0].rstrip() == "Slice":
            found = plain.partition("=")[2].strip()
    return found


def words_of(options: Options) -> list[str]:
    """The options of `unit anchor` that mean a route."""
    words = ["--via", options.via, *(["--strict"] if options.strict else [])]
    for name, value in (
        ("--gateway4", options.gateway4),
        ("--gateway6", options.gateway6),
        ("--dns", None if options.dns is None else ",".join(options.dns) or "system"),
        ("--on-down", options.on_down),
        ("--existing", options.existing),
        ("--hold", None if options.hold is None else f"{options.hold:g}"),
    ):
        words += [] if value is None else [name, value]
    return [*words, *(["--inbound"] if options.inbound else [])]
