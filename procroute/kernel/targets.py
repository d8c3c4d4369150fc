"""Where routes' targets are, and what is done to them: made, opened, and taken away.

Of a route there is one of its own, and further ones: in trees of users, and units' own cgroups in place.
"""

from __future__ import annotations

from pathlib import Path

from procroute.core.door import Door, Marking
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import (
    cgroup_mount,
    cgroups,
    conntrack,
    in_place,
    netns,
    nft,
    programs,
    records,
    sysctl,
)
from procroute.kernel.placement import placement
from procroute.kernel.refusal import refused
from procroute.model import LiveRoute, Marks


class Targets:
    """The targets of this machine that have our identity, and are of our network namespace.

    Raises ProcrouteError cgroup-missing.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.cgroup_mount = cgroup_mount.find()
        self.mount = self.cgroup_mount.path
        self.placement = placement(self.mount)
        self.namespace = netns.namespace()
        self._paths: dict[int, Path] = {}
        self._lives: dict[int, LiveRoute] = {}

    def find_targets(self) -> tuple[list[records.Target], list[records.Target]]:
        """The routes' own targets, everybody's and ours: where they are is known from then on."""
        everybodys = records.targets(self.mount, self.namespace)
        targets = [t for t in everybodys if t.identity == self.identity]
        self._paths = {t.live.number: t.path for t in targets}
        self._lives = {t.live.number: t.live for t in targets}
        return everybodys, targets

    def further_targets(self) -> list[records.Target]:
        """The further targets of our routes: in users' trees, and in place. Those of routes that are gone are
        leftovers."""
        everybodys = [
            *records.users_targets(self.mount, self.namespace),
            *in_place.targets(self.mount, self.namespace),
        ]
        routes = {number: live.route for number, live in self._lives.items()}
        return [
            t for t in everybodys if t.identity == self.identity and routes.get(t.live.number) == t.live.route
        ]

    def path(self, number: int) -> Path:
        """The cgroup of a route's target, as last observed or added."""
        return self._paths[number]

    def paths(self, number: int) -> list[Path]:
        """The cgroups of all of a route's targets: its own first, then the further ones."""
        return [
            self._paths[number],
            *(t.path for t in self.further_targets() if t.live.number == number),
        ]

    def path_for(self, number: int, uid: int, door: Door | None) -> Path | None:
        """Make a further target of a route, in a user's own tree; None where he has none.

        door: None where the route has no programs. Our nft table, where it marks packets, has to be told.

        Raises ProcrouteError.
        """
        live = self._lives[number]
        path = self.placement.make_for(uid, self._paths[number].name)
        if path is not None:
            if not cgroups.populated(path):
                programs.detach(str(path))  # what a route of another number may have left
            records.describe(path, self.namespace, self.identity, live)
            if door is not None:
                self._open(number, door)
        return path

    def follow_in_place(self, number: int, place: Path) -> bool:
        """Have a unit's own cgroup follow a route, also instead of another. Raises ProcrouteError.

        Whether our nft table knows it, or need not: else that is to be put right, as whatever is missing is.
        """
        found = programs.attached(str(self._paths[number]))
        if found is None:
            raise ProcrouteError("bpf-missing", f"no programs are attached to {self._paths[number]}")
        self.list_in_place(number, place)
        programs.attach(str(place), found.marking, found.door, instead=True)
        if self._lives[number].marks is Marks.SOCKETS:
            return True
        try:
            return nft.add(self.cgroup_mount, place, number, (t.path for t in self.further_targets()))
        except OSError as e:
            raise refused(e, "nft", f"put {place} into the nft table") from e

    def list_in_place(self, number: int, place: Path) -> None:
        """Write down that a unit's own cgroup is a target of this route, and of no other. Raises
        ProcrouteError."""
        own = self._paths[number]
        in_place.add(self.mount, own, place, self.namespace, self.identity, self._lives[number])
        in_place.unlist(self.mount, place, (path for path in self._paths.values() if path != own))

    def let_be(self, place: Path) -> None:
        """Have a unit's own cgroup follow no route; one that has gone is fine. Raises ProcrouteError.

        What is written on it goes last: a call that is cut short is done again.
        """
        try:
            nft.forget(self.cgroup_mount, place)
        except OSError as e:
            raise refused(e, "nft", f"take {place} out of the nft table") from e
        programs.detach(str(place))
        in_place.remove(self.mount, place, self._paths.values())

    def _add(self, live: LiveRoute) -> None:
        self._paths[live.number] = records.add_target(
            self.placement.make, self.placement.remove, self.namespace, self.identity, live
        )
        self._lives[live.number] = live
        if live.marks is Marks.PACKETS:
            # Another route had this number: its conversations may have our ports, by another adapter.
            conntrack.forget(self.identity.mark(live.number), self.identity.number_mask)

    def _remove(self, live: LiveRoute) -> None:
        for path in reversed(self.paths(live.number)):
            if in_place.is_in_place(path):
                self.let_be(path)
            else:
                self.placement.remove(path)
        del self._paths[live.number]
        if live.marks is Marks.PACKETS:
            # Or a bystander with a port of its conversations would have their address.
            conntrack.forget(self.identity.mark(live.number), self.identity.number_mask)
        if not self._paths:
            sysctl.restore_all(self.namespace)
        self.placement.remove_root()

    def _open(self, number: int, door: Door) -> None:
        identity, strict = self.identity, self._lives[number].route.strict
        marking = Marking(identity.mark(number), identity.mark_mask, identity.bound, strict, netns.cookie())
        for path in self.paths(number):
            programs.attach(str(path), marking, door, instead=in_place.is_in_place(path))
