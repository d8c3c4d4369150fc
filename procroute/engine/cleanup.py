"""Remove everything of ours, from whatever a crash left; no saved state is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from procroute.engine.linger import linger
from procroute.engine.lock import lock, release_directory
from procroute.engine.reconcile import reconcile
from procroute.engine.words import describe
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import cgroups, sysctl
from procroute.kernel.linux import Linux


class Cleaned(Struct, frozen=True):
    """What a cleanup did: how many routes it removed, and which processes it let go."""

    routes: int
    released: tuple[int, ...]


def cleanup(identity: Identity, *, force: bool) -> Cleaned:
    """Remove routes, rules, tables, nft table, programs, cgroups, sysctl changes and names that are ours.

    With living routed processes: raises ProcrouteError processes-alive that lists them, or with force moves
    them back to where they came from, so that what they open from then on leaves as the machine's own does.
    """
    with Linux(identity) as linux, lock():
        observed = linux.observe()
        paths = [linux.path(t.number) for t in observed.ours.targets] + cgroups.unnamed(linux.mount)
        living = list(_living(paths))
        if living and not force:
            number, listed = len(living), ", ".join(describe(pid) for pid, _ in living)
            raise ProcrouteError(
                "processes-alive",
                f"{number} routed {'process is' if number == 1 else 'processes are'} alive: {listed}",
                "end them, or use --force: their new connections then leave as the machine's own do",
            )
        for pid, folder in living:
            _release(linux.mount, pid, folder)
        for target in observed.ours.targets:
            linger(identity, target.number)
        reconcile(linux, identity, lambda _: ())
        for path in cgroups.unnamed(linux.mount):
            cgroups.remove_tree(path)
        cgroups.remove_root(linux.mount)
        sysctl.restore_all(linux.namespace)
        release_directory()
        return Cleaned(len(observed.ours.targets), tuple(pid for pid, _ in living))


def _living(targets: list[Path]) -> Iterator[tuple[int, Path]]:
    for target in targets:
        yield from cgroups.processes(target)


def _release(mount: Path, pid: int, folder: Path) -> None:
    """Back to where a process came from, or the nearest living parent of that."""
    origin = Path(cgroups.origin(folder).lstrip("/"))
    for candidate in (origin, *origin.parents):
        if (mount / candidate).is_dir():
            try:
                cgroups.enter(mount / candidate, pid)
            except ProcrouteError:
                continue
            return
