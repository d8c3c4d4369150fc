"""Starting things inside the machine (or in a node's network) from outside: nsenter(1), in the lab's cgroup.

Each command is started in a session of its own, so that its process group exists in the machine's pid
namespace, job control works, and all of it can be killed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Unpack

from procroute.lab.commands import Place, Process, Surroundings

PACKAGE_ROOT: Final = str(Path(__file__).resolve().parents[2])
"""The directory that procroute is imported from."""

# in the host's view: join the cgroup, then the namespaces; a terminal becomes the controlling one
_ENTER = 'echo 0 >"$1" && shift && exec nsenter "$@"'
# in the machine's view: the same directory if it is there
_INSIDE = 'cd "$1" 2>/dev/null || cd /; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class Inside(Place):
    """The namespaces of process `pid`, and a cgroup.

    procs: that cgroup's cgroup.procs as we see it; whole: all namespaces, or the network only (a node's).
    """

    pid: int
    procs: str
    whole: bool

    def popen(
        self, command: Sequence[str | os.PathLike[str]], **surroundings: Unpack[Surroundings]
    ) -> Process:
        """Start `command`; see Place.popen."""
        where = surroundings.get("cwd") or os.getcwd()
        # -r: in a chroot the root of the mount namespace is not ours
        kinds = ["-m", "-r", "-n", "-p", "-u", "-i", "-C"] if self.whole else ["-n"]
        session = ["setsid", "--wait", *(["--ctty"] if surroundings.get("terminal") else [])]
        inside = ["sh", "-c", _INSIDE, "sh", where, *(os.fspath(word) for word in command)]
        return Process(
            ["sh", "-c", _ENTER, "sh", self.procs, "-t", str(self.pid), *kinds, "--", *session, *inside],
            env=environment() | surroundings.get("env", {}),
            stdin=surroundings.get("stdin"),
            stdout=surroundings.get("stdout"),
            stderr=surroundings.get("stderr"),
            text=True,
            start_new_session=True,
        )


def environment() -> dict[str, str]:
    """Ours, with this interpreter's programs found first."""
    beside = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return {**os.environ, "PATH": f"{beside}:{path}"}
