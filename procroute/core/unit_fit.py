"""Which units can be wrapped: services that leave their slice to us and do not start before us."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from msgspec import Struct

from procroute.core import unit_names
from procroute.core.nearest import nearest
from procroute.core.service_texts import SERVICE, SOCKET
from procroute.core.unit_texts import MARK, own_slice
from procroute.errors import ProcrouteError

FIRST_OF_USERS: Final = ("dbus.service", "dbus-broker.service", "dbus.socket", "basic.target")
"""What anchors of a user's manager wait for."""
FIRST: Final = (SERVICE, SOCKET, *FIRST_OF_USERS)
"""What the system's anchors wait for, and what the daemon asks for slices."""
_KINDS: Final = {
    "scope": "is made while it runs; procroute assign --unit moves what is in it",
    "socket": "has no processes; wrap the service that it starts, whose own sockets are routed then",
    "timer": "has no processes; wrap the service that it starts",
    "path": "has no processes; wrap the service that it starts",
    "slice": "holds units; procroute rules add --unit has all of it follow, and wrap takes them one by one",
    "target": "has no processes; wrap its services one by one",
    "mount": "is the kernel's business: its packets are no process's",
    "automount": "is the kernel's business: its packets are no process's",
    "swap": "is the kernel's business: its packets are no process's",
    "device": "has no processes",
}
_INSTANCE: Final = "procroute"
_MANAGERS: Final = frozenset(
    {"systemd-networkd", "NetworkManager", "dhcpcd", "connman", "wpa_supplicant", "iwd", "ModemManager"}
)
"""They make adapters what they are, each by its own."""


class UnitFacts(Struct, frozen=True):
    """What systemd says of a unit. name: without aliases; load: its load state; texts: of its files and
    drop-ins, by their paths; before: the units that wait for it; sockets: the units that hand it sockets;
    apart: it runs in another network namespace than systemd; session: the PAM service by which it opens a
    session, empty: it opens none; lasting: its stop may leave processes of it;
    cgroup: where it has processes, empty: it has none."""

    name: str
    load: str
    transient: bool = False
    texts: Mapping[str, str] = {}
    before: Collection[str] = ()
    sockets: Collection[str] = ()
    apart: bool = False
    session: str = ""
    lasting: bool = False
    cgroup: str = ""


def completed(name: str) -> str:
    """The name of a service. Raises ProcrouteError unit-unfit for another kind of unit, usage for no name."""
    if "/" in name or not name or name.isspace() or name.startswith(("-", "@", ".service")):
        raise ProcrouteError("usage", f"{name!r} is no unit", "systemctl list-unit-files lists them")
    found = unit_names.completed(name)
    if (kind := found.rpartition(".")[2]) in _KINDS:
        raise ProcrouteError("unit-unfit", f"a {kind} {_KINDS[kind]}")
    return found


def instance(name: str) -> str:
    """What systemd is asked about: of a template an instance, as it tells nothing of itself."""
    return name.replace("@.", f"@{_INSTANCE}.")


def real(asked: str, told: str) -> str:
    """The name of a unit, or of a template, that may have been asked for by an alias.

    told: what systemd calls that unit, or the `instance` of that template.
    """
    return told.replace(f"@{_INSTANCE}.", "@.") if is_template(asked) else told


def is_template(name: str) -> bool:
    """Whether it stands for all of its instances."""
    return name.endswith("@.service")


def check(facts: UnitFacts, asked: str, others: Callable[[], Iterable[str]]) -> None:
    """Whether a unit can be wrapped, but for what it starts before (`check_early`).

    others: the names of the units that there are, for who has misspelt one.
    Raises ProcrouteError unit-unknown, unit-unfit.
    """
    name = facts.name
    if facts.load == "not-found":
        near = " or ".join(nearest(asked, others()))
        meant = f"did you mean {near}? " if near else ""
        raise ProcrouteError(
            "unit-unknown",
            f"there is no unit {asked}",
            f"{meant}systemctl [--user] list-unit-files lists them",
        )
    if facts.load == "masked":
        raise ProcrouteError("unit-unfit", f"{name} is masked: it never starts", f"systemctl unmask {name}")
    if facts.load not in ("loaded", "merged"):
        raise ProcrouteError(
            "unit-unfit", f"systemd could not load {name} ({facts.load})", f"systemctl status {name}"
        )
    if facts.transient:
        raise ProcrouteError(
            "unit-unfit",
            f"{name} was made by systemd-run and goes with its last process",
            "procroute assign --unit routes it; systemd-run procroute run --via … starts one that is",
        )
    if name.startswith(("procroute-", "procrouted.")):
        raise ProcrouteError("unit-unfit", f"{name} is procroute's own")
    if name.removesuffix(".service") in _MANAGERS:
        raise ProcrouteError("unit-unfit", f"{name} sets up the adapters, and speaks by each of them")
    if facts.apart:
        raise ProcrouteError(
            "unit-unfit",
            f"{name} runs in a network namespace of its own (PrivateNetwork=, NetworkNamespacePath=): "
            "this one's routes are not its",
            "what its namespace is connected to decides",
        )
    if facts.session:
        raise ProcrouteError(
            "unit-unfit",
            f"{name} opens a session of its own (PAMName={facts.session}), "
            "into whose scope pam_systemd takes it, out of any slice of the unit's",
            "procroute rules add --exe PROGRAM, or --user NAME, has it follow there",
        )
    for path, text in facts.texts.items():
        if not text.startswith(MARK) and (slice_ := own_slice(text)):
            raise ProcrouteError(
                "unit-unfit",
                f"{name} has a slice of its own ({slice_}, by {path}), whose limits it would lose",
                f"procroute rules add --unit {name} has it follow where it is; or take that Slice= away",
            )


def check_left(facts: UnitFacts, slice_: str) -> None:
    """Refuse a unit that would be started beside what is left of it, in the cgroup that this is still in.

    Raises ProcrouteError unit-unfit.
    """
    if facts.lasting and facts.cgroup and f"/{slice_}/" not in facts.cgroup:
        name = facts.name
        raise ProcrouteError(
            "unit-unfit",
            f"{name} has processes that its stop may leave (KillMode=), "
            f"and its next start would be beside them, in {facts.cgroup}",
            f"systemctl stop {name}; systemctl kill --signal=KILL {name} ends those, too; then wrap it",
        )


def stays(facts: UnitFacts) -> str | None:
    """Why a unit stays where it is beyond its next start, and what helps; None: it does not."""
    if not (facts.lasting and facts.cgroup):
        return None
    name = facts.name
    return (
        f"{name} has processes that its stop may leave (KillMode=): while one of them lives, it is started "
        f"beside them, on their route; systemctl stop {name}, systemctl kill --signal=KILL {name} ends all"
    )


def check_early(
    facts: UnitFacts, first: Iterable[str], after: Callable[[list[str]], Mapping[str, list[str]]]
) -> None:
    """Refuse a unit for which those have to wait that it would wait for: neither would ever start.

    first: what its anchor waits for. after: of units, each with those that it starts after.
    Raises ProcrouteError unit-unfit.
    """
    why: dict[str, str] = dict.fromkeys(first, "")
    level = list(why)
    while level:
        found = after(level)
        level = []
        for unit, waits in found.items():
            why.setdefault(unit, "")  # an alias is told by its unit's name
            for other in waits:
                if other not in why:
                    why[other] = unit
                    level.append(other)
    met = facts.name if facts.name in why else next((u for u in facts.before if u in why), None)
    if met is None:
        return
    chain = [facts.name, *([met] if met != facts.name else [])]
    while why[chain[-1]]:
        chain.append(why[chain[-1]])
    told = f"{' before '.join(chain)}, which a route needs"
    raise ProcrouteError(
        "unit-unfit",
        f"it would wait for its route, and that for it: {told}",
        f"procroute rules add --unit {facts.name} has it follow once it runs",
    )
