"""Units that take a route at every start: their drop-ins, put in place, taken away, and how they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from procroute import places
from procroute.client import group
from procroute.core import unit_fit
from procroute.core.service_texts import SERVICE
from procroute.core.unit_texts import (
    DROP_IN,
    MARK,
    Wrapped,
    Wrapping,
    anchor,
    anchor_of,
    drop_in,
)
from procroute.engine import marked_files
from procroute.engine.marked_files import text_of
from procroute.engine.wrapped_units import OF_USER, SYSTEM, wrapped_in
from procroute.errors import ProcrouteError
from procroute.kernel import files, own_code, systemctl, unit_facts, user_managers

_STATE: Final = "Id,ActiveState,ControlGroup,Slice,MainPID"
Now = Literal["routed", "at its next start", "restart it", "another slice"]


class Change(Struct, frozen=True):
    """A file as it is and as it shall be; None: it is not there."""

    path: Path
    before: str | None
    after: str | None


class Changes(Struct, frozen=True):
    """What wrapping or unwrapping changes. unit: its name; notes: lines for people."""

    unit: str
    files: tuple[Change, ...]
    notes: tuple[str, ...] = ()


class Row(Struct, frozen=True):
    """A wrapped unit. state: as systemd calls it; now: whether what runs of it is on its route."""

    unit: str
    route: str
    slice: str
    state: str
    now: Now


class Units:
    """Those of the system's manager, or of the caller's own.

    Raises ProcrouteError systemd-missing where systemd does not run this machine.
    """

    def __init__(self, *, user: bool) -> None:
        systemctl.need(user=user)
        self._user = user
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        self._folder = home / OF_USER if user else SYSTEM

    def wrapping(self, name: str, wrapping: Wrapping, notes: Sequence[str] = ()) -> Changes:
        """What it takes to wrap a unit. notes: more lines for people.

        Raises ProcrouteError where it cannot be wrapped.
        """
        asked = unit_fit.completed(name)
        facts = unit_facts.facts(unit_fit.instance(asked), user=self._user)
        unit = unit_fit.real(asked, facts.name)
        place = self._drop_in(unit)
        unit_fit.check(facts, asked, lambda: unit_facts.services(user=self._user))
        for one in self._loaded(unit, facts):
            unit_fit.check_left(one, wrapping.slice)
        first = unit_fit.FIRST_OF_USERS if self._user else unit_fit.FIRST
        unit_fit.check_early(facts, first, lambda some: unit_facts.after(some, user=self._user))
        if not self._user:
            own_code.check_trusted()
        text = anchor(wrapping, own_code.program(), own_code.environment(), user=self._user)
        wanted = {place: drop_in(wrapping), self._folder / wrapping.anchor: text}
        its = (*notes, *_notes(facts), *_notes_of_daemon(), *(_notes_of_user() if self._user else ()))
        return Changes(unit, (*_changes(wanted), *self._unneeded(unit, wrapping.slice)), its)

    def unwrapping(self, name: str) -> Changes:
        """What it takes to unwrap one. Raises ProcrouteError unit-unwrapped where it is not wrapped."""
        asked = unit_fit.completed(name)
        facts = unit_facts.facts(unit_fit.instance(asked), user=self._user)
        place = self._drop_in(asked)
        if not place.exists():
            asked = unit_fit.real(asked, facts.name)
            place = self._drop_in(asked)
        before = text_of(place)
        if before is None:
            raise ProcrouteError("unit-unwrapped", f"{asked} is not wrapped", "procroute unit list")
        _check_ours(place, before)
        notes = filter(None, map(unit_fit.stays, self._loaded(asked, facts)))
        return Changes(asked, (Change(place, before, None), *self._unneeded(asked, "")), tuple(notes))

    def apply(self, changes: Changes) -> None:
        """Have files so, and systemd know it. What runs goes on.

        Raises ProcrouteError and OSError.
        """
        gone = [one.path for one in changes.files if one.after is None]
        for one in changes.files:
            if one.after is not None:
                marked_files.write(one.path, one.after)
            else:
                files.unlink(one.path, missing_ok=True)
                if one.path.name == DROP_IN and not any(one.path.parent.iterdir()):
                    files.rmdir(one.path.parent)
        if changes.files:
            self._systemctl("daemon-reload")
        # Whoever is still in its slice stays on the route, and nobody needs the anchor any more.
        anchors = [path.name for path in gone if path.name != DROP_IN]
        for said in unit_facts.shown(anchors, _STATE, user=self._user) if anchors else ():
            if said["ActiveState"] not in ("inactive", "failed"):
                self._systemctl("stop", said["Id"])

    def rows(self) -> list[Row]:
        """The wrapped units by their names; of templates their loaded instances, too."""
        found, all_wrapped = [], self._wrapped()
        for unit, said in sorted(all_wrapped.items()):
            template = unit_fit.is_template(unit)
            if template:
                found.append(Row(unit, said.route, said.slice, "template", "at its next start"))
            names = unit_facts.instances(unit, user=self._user) if template else [unit]
            names = [name for name in names if name == unit or name not in all_wrapped]
            for one in unit_facts.shown(names, _STATE, user=self._user) if names else ():
                now = _now(one, said.slice)
                found.append(Row(one["Id"], said.route, said.slice, one["ActiveState"], now))
        return found

    def _loaded(self, unit: str, facts: unit_fit.UnitFacts) -> list[unit_fit.UnitFacts]:
        """The unit itself, or a template's instances that systemd knows of. facts: of either."""
        if not unit_fit.is_template(unit):
            return [facts]
        return [unit_facts.facts(one, user=self._user) for one in unit_facts.instances(unit, user=self._user)]

    def _drop_in(self, unit: str) -> Path:
        return self._folder / f"{unit}.d" / DROP_IN

    def _wrapped(self) -> dict[str, Wrapped]:
        """Units with a drop-in of ours."""
        return wrapped_in(self._folder)

    def _unneeded(self, unit: str, slice_: str) -> Iterator[Change]:
        """The anchors that nobody needs, once that unit is wrapped with a slice, or with none."""
        others = self._wrapped()
        others.pop(unit, None)
        needed = {slice_, *(said.slice for said in others.values())}
        for path in sorted(self._folder.glob("procroute-*.service")):
            text = text_of(path)
            if text and text.startswith(MARK) and path.name not in map(anchor_of, needed):
                yield Change(path, text, None)

    def _systemctl(self, *words: str) -> None:
        systemctl.run(*unit_facts.manager(user=self._user), *words)


def _changes(wanted: dict[Path, str]) -> Iterator[Change]:
    """What is not so yet. Raises ProcrouteError file-foreign."""
    for path, text in wanted.items():
        before = text_of(path)
        if before is not None:
            _check_ours(path, before)
        if before != text:
            yield Change(path, before, text)


def _check_ours(path: Path, text: str) -> None:
    if not text.startswith(MARK):
        raise marked_files.foreign([path])


def _notes(facts: unit_fit.UnitFacts) -> tuple[str, ...]:
    if not facts.sockets:
        return ()
    handed: Sequence[str] = sorted(facts.sockets)
    return (f"{', '.join(handed)}: these sockets are made by systemd and are not routed; its own are",)


def _notes_of_daemon() -> tuple[str, ...]:
    there = Path(places.SOCKET).exists() or unit_facts.facts(SERVICE, user=False).load != "not-found"
    return () if there else ("it will not start before the daemon is there: sudo procroute service install",)


def _notes_of_user() -> tuple[str, ...]:
    has = user_managers.groups(os.getuid())
    why = None if has is None else group.left_out(has)
    return () if why is None else (why,)


def _now(unit: Mapping[str, str], wanted: str) -> Now:
    """How a unit is that shall be in that slice. unit: its properties."""
    cgroup, runs = unit["ControlGroup"], unit["ActiveState"] not in ("inactive", "failed")
    if unit["Slice"] not in ("", wanted):
        return "another slice"
    # What was let go is in none of its cgroups, whatever systemd says.
    let_go = unit["MainPID"] not in ("", "0") and not unit_facts.populated(cgroup)
    if f"/{wanted}/" in f"{cgroup}/" and not let_go:
        return "routed"
    return "restart it" if cgroup and runs else "at its next start"
