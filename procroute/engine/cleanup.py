"""Remove everything of ours, from whatever a crash left: it is told from the kernel itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

from msgspec import Struct

from procroute.engine import dead_daemon
from procroute.engine.alive import listed
from procroute.engine.let_go import let_go
from procroute.engine.linger import Carried, end, linger
from procroute.engine.lock import lock, patient, release_directory
from procroute.engine.reconcile import reconcile, steps
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import cgroups, in_place, records, sysctl, wireguard
from procroute.kernel.cgroup_mount import CgroupMount
from procroute.kernel.linux import Linux
from procroute.kernel.living import everybody
from procroute.kernel.placement import PeopledError, but_anchor
from procroute.kernel.strays import strays
from procroute.model import Marks

_MOVED_WITHIN: Final = 3.0
_SOON: Final = 0.002
"""Seconds."""
_TRIES: Final = 10


class Cleaned(Struct, frozen=True):
    """What a cleanup did: routes that it removed, whether there was anything, processes that it let go.

    strays: what carries our protocol number, may be ours or not, and was left.
    """

    routes: int
    anything: bool
    released: tuple[int, ...]
    strays: tuple[str, ...]


def cleanup(identity: Identity, tell: Tell, *, force: bool) -> Cleaned:
    """Remove routes, rules, tables, nft table, programs, cgroups, sysctl changes and names that are ours.

    tell: says a line to the person at the terminal. identity: the configured one; those by which the routes
    were made are found on them. The whole tree of cgroups is walked for units that follow in place.

    With living routed processes: raises ProcrouteError processes-alive that lists them, or with force moves
    them back to where they came from (not those in place, nor who is routed as a user), so that what they
    open from then on leaves as the machine's own does; cleanup-incomplete where that cannot be done.
    """
    with ExitStack() as stack:
        linux = stack.enter_context(Linux(identity))
        stack.enter_context(lock(patient(tell)))
        targets = records.targets(linux.mount, linux.namespace)
        leftovers = linux.placement.leftovers(linux.namespace)
        unnamed = [path for path in leftovers if not records.named(path)]
        of_users = records.users_targets(linux.mount, linux.namespace)
        whole = list(in_place.everywhere(linux.mount, linux.namespace))
        paths = [t.path for t in (*targets, *of_users)] + unnamed
        by_path = {path: [pid for pid, _ in _living([path])] for path in (*paths, *(t.path for t in whole))}
        for target in targets:
            by_path[target.path] += _of_owners(linux.cgroup_mount, target)
        living = [*dict.fromkeys(pid for pids in by_path.values() for pid in pids)]
        if living and not force:
            names = {t.path: t.live.route.name for t in (*targets, *of_users, *whole)}
            raise ProcrouteError(
                "processes-alive",
                listed((names.get(path, "no route that is known"), pids) for path, pids in by_path.items()),
                "end them, or use --force: their new connections then leave as the machine's own do",
            )
        for target in (*targets, *of_users):
            linux.placement.end_starts(target.path)
        _release_all(linux.mount, paths)
        for target in whole:
            linux.let_be(target.path)
        others = {t.identity for t in (*targets, *whole)} - {identity}
        # The configured one comes last: while there are routes by other numbers it leaves all to those.
        kernels = {**{other: stack.enter_context(Linux(other)) for other in others}, identity: linux}
        anything = bool(leftovers or of_users or whole)
        tunnels = {ifindex for t in targets for ifindex, _ in t.live.tunnels}
        for made_by, kernel in kernels.items():
            _say_goodbye(made_by, [t for t in (*targets, *of_users, *whole) if t.identity == made_by], tell)
            anything |= _without_latecomers(linux.mount, paths, partial(_remove, kernel))
        for ifindex in tunnels:
            with suppress(ProcrouteError):  # it may have gone
                wireguard.forget_ways(ifindex)
        for path in (*(t.path for t in of_users), *leftovers):
            linux.placement.remove(path)
        linux.placement.remove_root()
        sysctl.restore_all(linux.namespace)
        anything |= dead_daemon.remove()
        release_directory()
        left = tuple(strays(linux.netlink, linux.families, kernels))
        return Cleaned(len(targets) + len(leftovers) - len(unnamed), anything, tuple(living), left)


def _say_goodbye(identity: Identity, targets: list[records.Target], tell: Tell) -> None:
    by_cgroup = [t.path for t in targets if t.live.marks is Marks.PACKETS]
    made_in = frozenset(i for path in by_cgroup for i in cgroups.ids(path))
    carried = Carried({t.live.number for t in targets}, made_in)
    linger(identity, carried, time.sleep, stalled=2.0)
    end(identity, carried, tell)


def _remove(kernel: Linux) -> bool:
    """Everything that was made by one identity; whether there was anything."""
    observed = kernel.observe()
    anything = bool(steps(kernel.identity, observed, ()))
    reconcile(kernel, kernel.identity, lambda _: (), observed)
    return anything


def _without_latecomers(mount: Path, targets: list[Path], remove: Callable[[], bool]) -> bool:
    """What that returns. Who comes meanwhile, as systemd forks first and then moves, is moved out, too."""
    for _ in range(_TRIES):
        try:
            return remove()
        except PeopledError:
            _release_all(mount, targets)
    return remove()


def _living(targets: list[Path]) -> Iterator[tuple[int, Path]]:
    for target in targets:
        yield from cgroups.processes(target)


def _to_move(targets: list[Path]) -> list[tuple[int, Path]]:
    return [*chain.from_iterable(map(but_anchor, targets))]


def _of_owners(mount: CgroupMount, target: records.Target) -> Iterator[int]:
    """Who is in no target, and whose sockets follow a route by whose they are."""
    uids = {owner.uid for owner in target.live.owners}
    for one in everybody() if uids else ():
        with suppress(OSError):  # it has ended
            if one.uids[1] in uids and not records.within_target(mount.path, mount.of(one.pid)):
                yield one.pid


def _release_all(mount: Path, targets: list[Path]) -> None:
    """Move every process out, but anchors that wait.

    Those that fork meanwhile are found when looking again; one that ends may still be there for a moment.
    """
    until = time.monotonic() + _MOVED_WITHIN
    while True:
        for pid, folder in _to_move(targets):
            if pid:
                with suppress(ProcrouteError):  # who is left is named at the end
                    let_go(mount, pid, folder)
        living = _to_move(targets)
        if not living:
            return
        if time.monotonic() > until:
            break
        time.sleep(_SOON)
    left = ", ".join(describe(pid) for pid, _ in living)
    raise ProcrouteError(
        "cleanup-incomplete",
        f"could not be moved out of their route: {left}",
        "nothing else was removed, so they stay on it; end them and try again",
    )
