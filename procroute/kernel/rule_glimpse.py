"""Of processes only what rules ask for, from /proc (proc(5)): enough to tell that no rule can mean one.

Most of what starts is meant by no rule, and a whole look takes ten times as long.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from procroute.kernel.cgroup_mount import CgroupMount, named_in
from procroute.kernel.process_facts import WORDS, words_of
from procroute.kernel.process_stat import stat as stat_of
from procroute.kernel.rule_subject import ancestors, group_names, groups_of, program_of, uids_of
from procroute.rulebook.subject import COMM, Ancestor, Subject
from procroute.user_names import user_name

_CGROUP: Final = frozenset({"cgroup", "unit", "app"})


class Glimpses:
    """For one moment: what several processes descend from is read once.

    asked: the conditions that there are; owned: some rule is a user's own. mount: by which cgroups are named.
    """

    def __init__(self, asked: Collection[str], mount: CgroupMount, *, owned: bool) -> None:
        self._asked = frozenset(asked)
        self._uids = owned or "user" in asked
        self._mount = mount
        self._above: dict[int, tuple[Ancestor, int]] = {}

    def of(self, pid: int) -> Subject | None:
        """A process, where what rules do not ask for is left empty; None: it has ended.

        Its cgroup is the one that it is in, also where it was placed there by us.
        """
        asked = self._asked
        try:
            name = _read(pid, "comm").removesuffix(b"\n").decode(errors="replace") if "name" in asked else ""
            cut = len(name.encode(errors="surrogateescape")) >= COMM  # its other names tell the rest
            uids = uids_of(pid) if self._uids else (0, 0, 0)
            groups = groups_of(pid) if "group" in asked else ()
            return Subject(
                pid=pid,
                exes=(program_of(pid),) if cut or "exe" in asked else (),
                name=name,
                command=tuple(words_of(_read(pid, "cmdline", WORDS))) if cut or "command" in asked else (),
                uids=uids,
                user=user_name(uids[1]) if "user" in asked else "",
                gids=groups,
                groups=group_names(groups),
                cgroup=self._cgroup(pid) if asked & _CGROUP else "/",
                parents=tuple(ancestors(stat_of(pid).parent, self._above)) if "parent" in asked else (),
            )
        except OSError:
            return None

    def _cgroup(self, pid: int) -> str:
        return self._mount.below(named_in(_read(pid, "cgroup", 1 << 16)) or "") or "/"


def _read(pid: int, name: str, size: int = 4096) -> bytes:
    descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)
