"""The keeper of a lab whose machine is run by systemd: python -m tests.lab.systemd_keeper FD OWNER."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

from procroute.lab import cgroups, keeper, machine_init, namespaces
from tests.lab import systemd_root

_HELPER: Final = "lab"
_SYSTEMD: Final = "/usr/lib/systemd/systemd"
_WORDS: Final = (_SYSTEMD, "--system", "--log-target=journal", "--log-level=info", "--show-status=0")


def run(sock: socket.socket, cgroup: Path, options: dict[str, Any]) -> NoReturn:
    """Become systemd. A second process is what the owner speaks with.

    options: what systemd_root.prepare takes, and "sysctls".
    """
    namespaces.die_with_parent(signal.SIGKILL)
    cgroups.join(cgroup)
    own = (namespaces.NEWNS, namespaces.NEWNET, namespaces.NEWCGROUP, namespaces.NEWUTS, namespaces.NEWIPC)
    namespaces.unshare(sum(own))
    namespaces.set_hostname("machine")
    sysctls: dict[str, str] = options.pop("sysctls")
    root = systemd_root.prepare(**options)
    for name in (machine_init.SESSION, _HELPER):
        (root / name).mkdir()
    for path, value in sysctls.items():
        Path("/proc/sys", path).write_text(value)
    if os.fork() == 0:
        cgroups.join(root / _HELPER)
        machine_init.Init(sock, root).serve()
        os._exit(0)
    sock.close()
    environment = {"container": "box", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    os.execve(_SYSTEMD, _WORDS, environment)


if __name__ == "__main__":
    sys.exit(keeper.main(run))
