"""Our nft table: written by libnftables in one transaction, known again by its comment, rules and cgroups.

It is never listed by libnftables: for each cgroup in a map that walks the whole tree of cgroups.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from procroute.core import nft_text, steering_text
from procroute.core.ruleset import Counter, Ruleset
from procroute.errors import ProcrouteError
from procroute.identity import NFT_TABLE
from procroute.kernel import cgroup_places, faults, nf_tables
from procroute.kernel.cgroup_mount import CgroupMount
from procroute.kernel.refusal import refused

_SAFE_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,15}")
_CHANGED = "changed"
_REFUSALS = (errno.ENOENT, errno.EPERM, errno.ENOMEM, errno.EBUSY, errno.ENOBUFS, errno.EINVAL)
"""What the library tells of in words alone, at the end of its first line."""

Targets = Mapping[int, Sequence[Path]]
"""Route number -> the cgroups of its targets."""


_Wanted = Mapping[int, Mapping[bytes, int]]
"""By depth, the cgroups that should lead to the chains of routes, each as an element knows it: by its id."""


class Reader:
    """Tells the table, and which it is; reads it again only where nf_tables changed."""

    def __init__(self, mount: CgroupMount) -> None:
        self._mount = mount
        self._seen: nf_tables.Unchanged[str] = nf_tables.Unchanged()

    def fingerprint(self, targets: Targets) -> str:
        """Of the table; empty where there is none, and another one where it is not whole.

        targets: those that should be in it. Raises OSError.
        """
        wanted: dict[int, dict[bytes, int]] = {}
        for number, paths in targets.items():
            for path in paths:
                level = cgroup_places.place(self._mount, path).level
                wanted.setdefault(level, {})[cgroup_places.key(path)] = number
        return self._seen.get(lambda: _fingerprint(wanted), about=wanted)


def _fingerprint(wanted: _Wanted) -> str:
    known_by = nf_tables.comment(NFT_TABLE)
    if known_by is None:
        return ""
    fingerprint, _, rules = known_by.partition(" ")
    if rules != str(nf_tables.count_rules(NFT_TABLE)) or not _all_there(wanted):
        return _CHANGED
    return fingerprint


def _all_there(wanted: _Wanted) -> bool:
    """Whether each target's cgroup leads to the chain of its route."""
    for level, numbers in wanted.items():
        found = nf_tables.verdicts(NFT_TABLE, nft_text.map_of(level))
        if any(found.get(key, "").rpartition("_")[2] != str(number) for key, number in numbers.items()):
            return False
        steered = {key for key in numbers if found[key].startswith("mark_")}
        further = steering_text.maps_of(level) if steered else ()
        if any(steered - nf_tables.verdicts(NFT_TABLE, name).keys() for name in further):
            return False
    return True


def write(ruleset: Ruleset | None, mount: CgroupMount, targets: Targets) -> None:
    """Replace the table in one transaction, or remove it. Counts go on. Raises ProcrouteError, OSError."""
    if ruleset is None:
        if nf_tables.comment(NFT_TABLE) is not None:
            cgroup_places.below_the_usual(mount, _run, nft_text.script(None, {}, {}))
        return
    for name in ruleset.restore.adapters if ruleset.restore is not None else ():
        if not _SAFE_NAME.fullmatch(name):
            raise ProcrouteError("adapter-unfit", f"the adapter name {name!r} cannot stand in an nft rule")
    places = {number: [cgroup_places.place(mount, p) for p in paths] for number, paths in targets.items()}
    script = nft_text.script(ruleset, places, counters())
    cgroup_places.below_the_usual(mount, _run, script)


def add(mount: CgroupMount, target: Path, number: int, beside: Iterable[Path]) -> bool:
    """Put one more cgroup of a route's into the table, where that is all there is to do; whether it is in it.

    beside: other targets: one of them has to be in the same slice and in the table, or the belt does not look
    there. Only of routes that mark sockets. Raises OSError.
    """
    place, key = cgroup_places.place(mount, target), cgroup_places.key(target)
    name, chain = nft_text.map_of(place.level), nft_text.lost(number)
    known = nf_tables.verdicts(NFT_TABLE, name)
    if not key or key in known:
        return known.get(key) == chain
    if not any(p.parent == target.parent and cgroup_places.key(p) in known for p in beside):
        return False
    script = f'add element inet {NFT_TABLE} {name} {{ "{place.path}" : goto {chain} }}\n'
    try:
        cgroup_places.below_the_usual(mount, _run, script)
    except ProcrouteError:
        return False
    return True


def forget(mount: CgroupMount, target: Path) -> None:
    """Take one cgroup out of the table; one that is not in it, or is gone, is fine. Raises ProcrouteError,
    OSError."""
    place, key = cgroup_places.place(mount, target), cgroup_places.key(target)
    names = (nft_text.map_of(place.level), *steering_text.maps_of(place.level))
    told = [name for name in names if key and key in nf_tables.verdicts(NFT_TABLE, name)]
    if told:
        script = "".join(f'delete element inet {NFT_TABLE} {name} {{ "{place.path}" }}\n' for name in told)
        try:
            cgroup_places.below_the_usual(mount, _run, script)
        except ProcrouteError:
            if cgroup_places.key(target) == key:
                raise
            # It has gone meanwhile, and no other one comes to have its number.


def counters() -> dict[str, Counter]:
    """What the counters of the table stand at; none where there is no table. Raises OSError."""
    return nf_tables.counters(NFT_TABLE)


def load() -> None:
    """Have the library at hand, for who must not wait for it later. One that is missing is told of then."""
    with contextlib.suppress(ProcrouteError):
        _library()


def _run(script: str) -> None:
    if refusal := faults.due("nft", script):
        status, error = -1, f"Error: Could not process rule: {os.strerror(refusal)}"
    else:
        status, _, error = _library()().cmd(script)
        faults.done("nft", script)
    if status:
        first_line = error.strip().partition("\n")[0]
        said = next((n for n in _REFUSALS if first_line.endswith(os.strerror(n))), 0)
        what = first_line.removesuffix(os.strerror(said)).rstrip(": ") if said else first_line
        known = errno.ENOENT if "No such file" in error else errno.EINVAL
        raise refused(said or known, "nft", f"load the nft table: {what}")


def _library() -> Callable[[], Any]:
    """What makes a context of libnftables; raises ProcrouteError library-missing."""
    try:
        from nftables import Nftables  # costs 6 ms, and only some commands need it

        ctypes.CDLL("libnftables.so.1")  # the binding complains aloud when it is not there
    except (ImportError, OSError) as e:
        raise ProcrouteError(
            "library-missing", f"libnftables cannot be loaded: {e}", "install libnftables1 and pip-nftables"
        ) from e
    found: Callable[[], Any] = Nftables
    return found
