"""Remove everything of ours, from whatever a crash left: it is told from the kernel itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from procroute.engine.linger import end, linger
from procroute.engine.lock import lock, patient, release_directory
from procroute.engine.reconcile import reconcile, steps
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import cgroups, sysctl
from procroute.kernel.linux import Linux

_PASSES = 50


class Cleaned(Struct, frozen=True):
    """What a cleanup did: routes that it removed, whether there was anything, processes that it let go."""

    routes: int
    anything: bool
    released: tuple[int, ...]


def cleanup(identity: Identity, tell: Tell, *, force: bool) -> Cleaned:
    """Remove routes, rules, tables, nft table, programs, cgroups, sysctl changes and names that are ours.

    tell: says a line to the person at the terminal.

    With living routed processes: raises ProcrouteError processes-alive that lists them, or with force moves
    them back to where they came from, so that what they open from then on leaves as the machine's own does;
    cleanup-incomplete where that cannot be done.
    """
    with Linux(identity) as linux, lock(patient(tell)):
        observed = linux.observe()
        unnamed = cgroups.unnamed(linux.mount)
        abandoned = cgroups.abandoned(linux.mount, linux.namespace)
        paths = [linux.path(t.number) for t in observed.ours.targets] + unnamed
        living = [pid for pid, _ in _living(paths)]
        if living and not force:
            number, listed = len(living), ", ".join(describe(pid) for pid in living)
            raise ProcrouteError(
                "processes-alive",
                f"{number} routed {'process is' if number == 1 else 'processes are'} alive: {listed}",
                "end them, or use --force: their new connections then leave as the machine's own do",
            )
        _release_all(linux.mount, paths)
        numbers = [target.number for target in observed.ours.targets]
        linger(identity, numbers, time.sleep, stalled=2.0)
        end(identity, numbers, tell)
        anything = bool(unnamed or abandoned or steps(identity, observed, ()))
        reconcile(linux, identity, lambda _: ())
        for path in (*unnamed, *abandoned):
            cgroups.remove_tree(path)
        cgroups.remove_root(linux.mount)
        sysctl.restore_all(linux.namespace)
        release_directory()
        return Cleaned(len(numbers) + len(abandoned), anything, tuple(living))


def _living(targets: list[Path]) -> Iterator[tuple[int, Path]]:
    for target in targets:
        yield from cgroups.processes(target)


def _release_all(mount: Path, targets: list[Path]) -> None:
    """Move every process out; those that fork meanwhile are found when looking again."""
    living: list[tuple[int, Path]] = []
    for _ in range(_PASSES):
        for pid, folder in _living(targets):
            if pid:
                _release(mount, pid, folder)
        living = list(_living(targets))
        if not living:
            return
    left = ", ".join(describe(pid) for pid, _ in living)
    raise ProcrouteError(
        "cleanup-incomplete",
        f"could not be moved out of their route: {left}",
        "nothing else was removed, so they stay on it; end them and try again",
    )


def _release(mount: Path, pid: int, folder: Path) -> None:
    """Back to where a process came from, or the nearest living parent of that. One that has ended is fine."""
    origin = Path(cgroups.origin(folder).lstrip("/"))
    for candidate in (origin, *origin.parents):
        try:
            cgroups.enter(mount / candidate, pid)
        except (ProcrouteError, OSError):
            continue
        return
