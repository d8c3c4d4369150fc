"""Processes as route rules see them: in the cgroup that they were in before they were placed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from msgspec.structs import replace

from procroute.core.access import Peer
from procroute.kernel.cgroup_mount import CgroupMount
from procroute.kernel.living import everybody
from procroute.kernel.process_facts import Facts, namespace_of
from procroute.kernel.rule_glimpse import Glimpses
from procroute.kernel.rule_subject import subject
from procroute.rulebook.subject import Subject


class RuleSubjects:
    """mount: by which cgroups are named. origin: where who is in a cgroup returns to (Register.origin_of)."""

    def __init__(self, mount: CgroupMount, origin: Callable[[str], str]) -> None:
        self._mount = mount
        self._origin = origin

    def of(self, pid: int, asked: Collection[str]) -> tuple[Subject, int] | None:
        """A process and its start time, clock ticks since boot; None: it has ended.

        asked: the conditions that there are (core.ruling.asked_for).
        """
        found = subject(pid, asked, self._mount)
        if found is None:
            return None
        who, began = found
        return replace(who, cgroup=self._origin(who.cgroup)), began

    def glimpses(self, asked: Collection[str], *, owned: bool) -> Glimpses:
        """For looks that tell only who is meant by no rule. In any thread."""
        return Glimpses(asked, self._mount, owned=owned)

    def everybody(self, peer: Peer, asked: Collection[str]) -> Iterator[tuple[Subject, int]]:
        """The same of everybody whom somebody may place."""
        for one in everybody():
            if peer.is_root or set(one.uids) == {peer.uid}:
                found = self.of(one.pid, asked)
                if found is not None:
                    yield found


def facts_of(who: Subject, began: int) -> Facts:
    """What is said of a process that was seen already. Raises OSError: it has ended."""
    return Facts(who.pid, who.name, who.uids, began, namespace_of(who.pid), of_kernel=False)
