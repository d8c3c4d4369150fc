"""The files by which systemd runs the daemon: where each goes, and its text for this machine's program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

MARK: Final = "# Put here by `procroute service install`; `procroute service remove` takes it away.\n"
"""The first line of each. A file without it is somebody else's."""
SERVICE: Final = "procrouted.service"
SOCKET: Final = "procrouted.socket"
RUN: Final = "procroute-run@.service"
PLACES: Final[Mapping[str, str]] = {
    SERVICE: f"/etc/systemd/system/{SERVICE}",
    SOCKET: f"/etc/systemd/system/{SOCKET}",
    RUN: f"/etc/systemd/system/{RUN}",
    "sysusers.d/procroute.conf": "/etc/sysusers.d/procroute.conf",
    "tmpfiles.d/procroute.conf": "/etc/tmpfiles.d/procroute.conf",
    "networkd.conf.d/50-procroute.conf": "/etc/systemd/networkd.conf.d/50-procroute.conf",
}
"""By what it is called where it is shipped."""
_VERBS: Final = {
    SERVICE: {"ExecStart": "daemon", "ExecReload": "reload"},
    RUN: {"ExecStart": "unit run -- %I"},
}
"""What is asked of the program by the lines of a file."""


def installed(name: str, shipped: str, program: Sequence[str], environment: Mapping[str, str]) -> str:
    """The text of a file that is shipped by that name. program: the words before a verb."""
    verbs = _VERBS.get(name, {})
    words = " ".join(map(quoted, program))
    around = environment_lines(environment)
    lines = []
    for line in shipped.splitlines():
        key = line.partition("=")[0]
        lines += around if key == "ExecStart" and verbs else []
        lines += [f"{key}={words} {verbs[key]}" if key in verbs else line]
    return MARK + "".join(f"{line}\n" for line in lines)


def quoted(word: str) -> str:
    """A word of a command line (systemd.service(5), systemd.syntax(7))."""
    return _quoted(word).replace("$", "$$")


def environment_lines(environment: Mapping[str, str]) -> list[str]:
    """A line for each variable; a `$` is nothing special there (systemd.exec(5), Environment=)."""
    return [f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(environment.items())]


def _quoted(word: str) -> str:
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return plain if plain and not {" ", "\t", "'", ";", '"', "\\"} & {*plain} else f'"{plain}"'
