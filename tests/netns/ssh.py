"""A person who comes by ssh: a server in a lab's machine, and what makes a terminal there.

with served(lab) as ssh:
    window = tmux.window(*ssh, "tty")
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from typing import Final

from procroute.lab import Lab
from tests.netns.running import until

_HOME: Final = "/run/home-of-ssh"
_PORT: Final = "2222"


@contextlib.contextmanager
def served(lab: Lab) -> Iterator[list[str]]:
    """The words before what is to run as root in a terminal of its own, by ssh to the machine itself.

    Dropbear's server: its package (dropbear-bin) starts nothing and writes nothing on a developer's machine.
    The machine has a user database of its own meanwhile, in which root's home is one of the lab's.
    """
    lab.sh(
        f"""
        mkdir -p -m 700 {_HOME}/.ssh
        sed 's,^root:.*,root::0:0::{_HOME}:/bin/sh,' /etc/passwd > {_HOME}/passwd
        chmod 644 {_HOME}/passwd
        mount -n --bind {_HOME}/passwd /etc/passwd
        dropbearkey -t ed25519 -f {_HOME}/host >/dev/null 2>&1
        ssh-keygen -q -t ed25519 -N '' -f {_HOME}/key
        cp {_HOME}/key.pub {_HOME}/.ssh/authorized_keys
        """
    )
    files = ["-r", f"{_HOME}/host", "-P", f"{_HOME}/pid"]
    server = lab.popen(["dropbear", "-F", "-E", "-s", *files, "-p", f"127.0.0.1:{_PORT}"])
    try:
        until(lambda: lab.sh(f"ss -Hltn sport = :{_PORT}"), what="the server")
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        yield [
            *("ssh", "-F", "none", "-tt", "-i", f"{_HOME}/key", "-p", _PORT),
            *(word for option in options for word in ("-o", option)),
            "root@127.0.0.1",
        ]
    finally:
        server.kill_session()
        server.wait(10)
        lab.sh(f"umount -n -l /etc/passwd && rm -rf {_HOME}")


def command(*words: str, **environment: str) -> str:
    """The one word that a server gives to a shell."""
    return shlex.join(["env", *(f"{name}={value}" for name, value in environment.items()), *words])
