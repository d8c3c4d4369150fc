"""What `procroute explain` says of a process, taken apart."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, Final

from procroute.lab import Lab
from tests.netns.inhabitants import Inhabitant
from tests.netns.running import procroute

_CGROUPS: Final = "/sys/fs/cgroup"


def told(lab: Lab, who: Inhabitant | str, destination: str = "") -> dict[str, Any]:
    """What the verb says."""
    subject = who if isinstance(who, str) else str(who.ask("hello").pid)
    done = procroute(lab, "explain", subject, *([destination] if destination else []), "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["version"] == 1
    return found


def caveats(found: dict[str, Any]) -> dict[str, str]:
    """By their ids."""
    return {c["id"]: c["text"] for c in found["caveats"]}


def findings(found: dict[str, Any]) -> dict[str, str]:
    """By their ids."""
    return {f["id"]: f["text"] for f in found["findings"]}


def first(found: dict[str, Any], family: int) -> dict[str, Any]:
    """The way of sockets that are bound to nothing."""
    return dict(next(w for w in found["ways"] if w["family"] == f"ipv{family}" and w["bound"] is None))


@contextlib.contextmanager
def moved(lab: Lab, who: Inhabitant, cgroup: str) -> Iterator[None]:
    """A process in another cgroup for a while. cgroup: below the mount point; its last part is made."""
    hello = who.ask("hello")
    lab.sh(f"mkdir {_CGROUPS}{cgroup} && echo {hello.pid} > {_CGROUPS}{cgroup}/cgroup.procs")
    try:
        yield
    finally:
        lab.sh(f"echo {hello.pid} > {_CGROUPS}{hello.cgroup}/cgroup.procs && rmdir {_CGROUPS}{cgroup}")


def target_of(command: Inhabitant) -> str:
    """The cgroup of its route."""
    return command.ask("hello").cgroup.rpartition("/")[0]
