"""Users whose sockets follow by rules: what they start, and what stands at the root of the tree for them."""

from __future__ import annotations

from procroute.kernel.bpf import copies
from procroute.kernel.bpf.catalogue import OWNER_PROGRAMS
from procroute.kernel.programs import directory_of
from procroute.lab import Lab
from tests.netns.daemons import ALICE
from tests.netns.holding import first, routers
from tests.netns.ruled import done, rule

HERS = rule(f'user = "{ALICE}"')


def starts(lab: Lab, family: int, count: int, user: int = ALICE) -> dict[str, int]:
    """By which routers so many programs of a user's came out that connect by their second system call."""
    become = f"setpriv --reuid={user} --regid={user} --clear-groups {first(family)}"
    shell = f"seq {count} | xargs -P 8 -I{{}} {become}; true"
    return dict(routers(lab.run(["sh", "-c", shell], timeout=60 + count / 2).stdout))


def finds(lab: Lab) -> list[str]:
    """How the rules find their processes, in their order."""
    return [one["finds"] for one in done(lab, "list")["rules"]]


def at_the_root(lab: Lab) -> list[str]:
    """The programs at the root of the tree."""
    return [place for place in lab.ask("attached") if place.startswith("/ ")]


def take_off(lab: Lab, *names: str) -> None:
    """Somebody takes programs off, or all."""
    with directory_of(str(lab.path("/sys/fs/cgroup"))) as directory:
        for copy in copies.find(directory, OWNER_PROGRAMS):
            copy.programs = {n: number for n, number in copy.programs.items() if not names or n in names}
            copies.detach_copy(directory, copy, {"owner"})
