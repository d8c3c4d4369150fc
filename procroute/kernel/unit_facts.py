"""What systemctl(1) tells of units, of the system's manager or one's own. EFFECTS: reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from procroute.core.unit_fit import UnitFacts
from procroute.kernel import cgroup_mount, cgroups, systemctl

_FACTS: Final = (
    "Id,LoadState,Transient,FragmentPath,DropInPaths,Before,TriggeredBy,"
    "PrivateNetwork,NetworkNamespacePath,PAMName,KillMode,ControlGroup"
)


def manager(*, user: bool) -> tuple[str, ...]:
    """The words before a verb of systemctl's."""
    return ("systemctl", "--user") if user else ("systemctl",)


def facts(name: str, *, user: bool) -> UnitFacts:
    """Of one unit, no template. Raises ProcrouteError systemd-missing, systemd-refused."""
    (found,) = shown([name], _FACTS, user=user)
    paths = [found["FragmentPath"], *found["DropInPaths"].split()]
    sockets = [unit for unit in found["TriggeredBy"].split() if unit.endswith(".socket")]
    return UnitFacts(
        found["Id"],
        found["LoadState"],
        found["Transient"] == "yes",
        {path: _text(path) for path in filter(None, paths)},
        found["Before"].split(),
        sockets,
        apart=found["PrivateNetwork"] == "yes" or bool(found["NetworkNamespacePath"]),
        session=found["PAMName"],
        lasting=found["KillMode"] in ("process", "none"),
        cgroup=found["ControlGroup"] if populated(found["ControlGroup"]) else "",
    )


def after(names: Collection[str], *, user: bool) -> dict[str, list[str]]:
    """Units, each with those that it starts after. Raises ProcrouteError."""
    return {each["Id"]: each["After"].split() for each in shown(names, "Id,After", user=user)}


def shown(names: Collection[str], properties: str, *, user: bool) -> Iterator[dict[str, str]]:
    """These properties of units: name → value. Raises ProcrouteError."""
    words = (*manager(user=user), "show", f"--property={properties}", "--", *names)
    empty = dict.fromkeys(properties.split(","), "")
    for block in systemctl.run(*words).split("\n\n"):
        lines = (line.partition("=") for line in block.splitlines())
        yield empty | {name: value for name, _, value in lines}


def services(*, user: bool) -> list[str]:
    """The services that have unit files, templates among them. Raises ProcrouteError."""
    words = (*manager(user=user), "list-unit-files", "--type=service", "--plain", "--no-legend", "--no-pager")
    return [line.split()[0] for line in systemctl.run(*words).splitlines() if line.strip()]


def instances(template: str, *, user: bool) -> list[str]:
    """The loaded ones of a template. Raises ProcrouteError."""
    words = (*manager(user=user), "list-units", "--all", "--plain", "--no-legend", "--no-pager")
    listed = systemctl.run(*words, template.replace("@.", "@*.")).splitlines()
    return [line.split()[0] for line in listed if line.strip()]


def populated(cgroup: str) -> bool:
    """Whether somebody is in a cgroup, as systemd names it, or below; in none: nobody."""
    return bool(cgroup) and cgroups.populated(cgroup_mount.find().path / cgroup.lstrip("/"))


def _text(path: str) -> str:
    """Empty where it cannot be read: then systemd's word is all there is."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
