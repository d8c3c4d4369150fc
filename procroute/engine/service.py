"""The daemon as a service of systemd's: put in place, taken away, and how it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from procroute.core.service_texts import MARK, PLACES, SERVICE, SOCKET, installed
from procroute.engine import dead_daemon, marked_files
from procroute.engine.words import Tell
from procroute.engine.wrapped_units import WrappedUnit, everybodys
from procroute.errors import ProcrouteError
from procroute.kernel import files, own_code, systemctl, unit_facts

_TRANSIENT: Final = Path("/run/systemd/transient")
_RUNNING: Final = ("active", "activating", "reloading", "deactivating")
_NETWORKD: Final = "systemd-networkd.service"
State = Literal["as shipped", "of another installation", "somebody else's", "missing"]


class File(Struct, frozen=True):
    """One of its files."""

    path: Path
    state: State


class Status(Struct, frozen=True):
    """files: each; units: the service and its socket, by what `systemctl is-enabled` and `is-active` say.
    distrusted: places of code that others than root could write to; wrapped: the units that need it."""

    files: list[File]
    units: dict[str, tuple[str, str]]
    distrusted: list[str]
    wrapped: list[WrappedUnit]


def install(tell: Tell) -> list[Path]:
    """Put all files in place and start it, anew where these or its code are others.

    The files that were written; none where anything is wrong.

    Raises ProcrouteError: systemd-missing, code-distrusted, daemon-running, file-foreign, systemd-refused;
    OSError.
    """
    systemctl.need()
    own_code.check_trusted()
    _check_alone()
    texts = _texts()
    if others := [path for path in texts if _state(path, texts[path]) == "somebody else's"]:
        raise marked_files.foreign(others)
    new = [path for path, text in texts.items() if _state(path, text) != "as shipped"]
    for path in new:
        marked_files.write(path, texts[path])
    # Of one that was tried out, which systemd keeps while other units name it.
    files.unlink(_TRANSIENT / SERVICE, missing_ok=True)
    systemctl.run("systemd-sysusers", PLACES["sysusers.d/procroute.conf"])
    systemctl.run("systemd-tmpfiles", "--create", PLACES["tmpfiles.d/procroute.conf"])
    systemctl.run("systemctl", "daemon-reload")
    systemctl.run("systemctl", "enable", SOCKET, SERVICE)
    older = not new and _runs_older_code()
    systemctl.run("systemctl", "restart" if new or older else "start", SOCKET, SERVICE)
    if older:
        tell(f"{SERVICE} was older than its code: it was started anew")
    if systemctl.said("systemctl", "is-active", _NETWORKD) == "active":
        tell(f"{_NETWORKD} leaves our rules and routes alone from its next start on")
    return new


def _check_alone() -> None:
    """A daemon that was started otherwise, as to try it out, would keep the service's from starting.

    Raises ProcrouteError daemon-running; OSError.
    """
    by_unit = systemctl.said("systemctl", "is-active", SERVICE) in _RUNNING
    transient = by_unit and unit_facts.facts(SERVICE, user=False).transient
    if transient or (dead_daemon.lives() and not by_unit):
        end = f"systemctl stop {SERVICE}" if transient else "pgrep -af 'procroute(d| daemon)' finds it"
        raise ProcrouteError(
            "daemon-running",
            "a procrouted runs already that is not the service's",
            f"end it first; what is routed stays so: {end}",
        )


def _runs_older_code() -> bool:
    """Whether the daemon was started before its code was put there, as by `pip install --upgrade`."""
    began = systemctl.said(
        "systemctl", "show", "--timestamp=unix", "--value", "--property=ExecMainStartTimestamp", SERVICE
    )
    return began.startswith("@") and int(began[1:]) <= own_code.changed_at()


def remove() -> list[Path]:
    """Stop it and take its files away, those of others not; the files. What is routed stays so.

    Raises ProcrouteError: systemd-missing, systemd-refused; OSError.
    """
    systemctl.need()
    ours = [
        path for path, text in _texts().items() if _state(path, text) not in ("missing", "somebody else's")
    ]
    units = [name for name in (SOCKET, SERVICE) if Path(PLACES[name]) in ours]
    if units:
        systemctl.run("systemctl", "disable", "--now", *units)
    for path in ours:
        files.unlink(path, missing_ok=True)
    systemctl.run("systemctl", "daemon-reload")
    return ours


def status() -> Status:
    """How it is. Needs no right. Raises ProcrouteError systemd-missing; OSError."""
    systemctl.need()
    found = [File(path, _state(path, text)) for path, text in _texts().items()]
    units = {
        unit: (
            systemctl.said("systemctl", "is-enabled", unit),
            systemctl.said("systemctl", "is-active", unit),
        )
        for unit in (SOCKET, SERVICE)
    }
    return Status(found, units, own_code.distrusted(), everybodys())


def _texts() -> dict[Path, str]:
    folder, program, environment = own_code.shipped(), own_code.program(), own_code.environment()
    return {
        Path(place): installed(name, (folder / name).read_text(encoding="utf-8"), program, environment)
        for name, place in PLACES.items()
    }


def _state(path: Path, text: str) -> State:
    there = marked_files.text_of(path)
    if there is None:
        return "missing"
    if there == text:
        return "as shipped"
    return "of another installation" if there.startswith(MARK) else "somebody else's"
