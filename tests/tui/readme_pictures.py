"""The pictures of the README, from a real daemon in a lab: `python -m tests.tui.readme_pictures`, as root.

Programs of these names are stand-ins that send to the lab's server, so that there is something to see.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import Final

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute_tui.app import Tui
from procroute_tui.link import Link
from procroute_tui.picture import plain
from procroute_tui.settings import Settings
from procroute_tui.starting import user_name
from tests.netns.daemons import daemon, for_users
from tests.netns.running import ENVIRONMENT, PROCROUTE, ROOT
from tests.netns.traffic import SERVER

_PICTURES: Final = ROOT / "docs/pictures"
_SIZES: Final = ((80, 24), (160, 40))
_WIDE: Final = 120
"""From so many columns on with details."""
_LOOKING: Final = 12
"""Seconds."""
_USERS: Final = {"root": 0, "ada": 1000, "ben": 1001}
_PROGRAMS: Final = (  # name, user, seconds between two questions, sockets, options of its route
    ("firefox", "ada", 0.02, 6, ("--via", "wan1")),
    ("rsync", "ada", 0.005, 1, ("--via", "wan1", "--strict")),
    ("syncthing", "ada", 0.2, 3, ("--via", "wan1")),
    ("backup", "root", 0.05, 2, ("--via", "wan2")),
    ("bash", "ada", 0, 0, ()),
    ("nginx", "root", 0, 2, ()),
    ("postgres", "ben", 0, 1, ()),
    ("sshd", "root", 0, 1, ()),
    ("thunderbird", "ben", 0, 2, ()),
)
_JOB: Final = """
import socket, sys, time
sys.path.insert(0, {root!r})
from procroute.lab.client import ask
pause, count = float(sys.argv[1]), int(sys.argv[2])
server = {{4: {four!r}, 6: {six!r}}}
time.sleep(5)  # until it is on its route
held = [socket.socket((socket.AF_INET, socket.AF_INET6)[n % 2], socket.SOCK_DGRAM) for n in range(count)]
for n, each in enumerate(held):
    each.connect((server[6 if n % 2 else 4], 9))
while True:
    if pause:
        ask("udp", server[4])
    time.sleep(pause or 3600)
"""


def main() -> int:
    """Write them."""
    parser = argparse.ArgumentParser(prog="python -m tests.tui.readme_pictures")
    parser.add_argument("--take", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.take:
        return take(given.take)
    with Lab() as lab, daemon(lab), for_users(lab) as python, contextlib.ExitStack() as people:
        lines = [f"{name}:x:{uid}:{uid}::/:/bin/sh" for name, uid in _USERS.items()]
        lab.run(["tee", "/etc/passwd"], stdin="\n".join(lines) + "\n", check=True)
        job = _JOB.format(root=str(ROOT), four=SERVER[4], six=SERVER[6])
        lab.run(["tee", "/run/job"], stdin=job, check=True)
        lab.sh("mkdir -p /run/bin")
        for name, user, pause, sockets, route in _PROGRAMS:
            lab.sh(f"ln -s {python} /run/bin/{name}")
            uid = str(_USERS[user])
            words = [f"/run/bin/{name}", "/run/job", str(pause), str(sockets)]
            process = lab.popen(["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", *words])
            people.callback(process.wait, 10)
            people.callback(process.kill_session)
            if route:
                pid = _pid_inside(process)
                lab.run([*PROCROUTE, "assign", str(pid), *route], env=ENVIRONMENT, check=True)
        time.sleep(6)
        for columns, rows in _SIZES:
            size = f"{columns}x{rows}"
            words = [sys.executable, "-m", "tests.tui.readme_pictures", "--take", size]
            made = lab.run(words, env=ENVIRONMENT, cwd=str(ROOT), check=True)
            (_PICTURES / f"tui-{size}.svg").write_text(made.stdout, encoding="utf-8")
    return 0


def take(size: str) -> int:
    """In the lab: look on until bars are full and sockets have been counted; print what is seen."""
    columns, rows = map(int, size.split("x"))
    app = Tui(Link(), user_name, Settings(details=columns >= _WIDE), None)

    async def shoot(_: object) -> None:
        await asyncio.sleep(_LOOKING)
        app.exit()
        sys.stdout.write(plain(app.export_screenshot(title="procroute tui")))

    app.run(headless=True, size=(columns, rows), auto_pilot=shoot)
    return 0


def _pid_inside(process: Process) -> int:
    """As the lab's machine counts (proc(5), NSpid)."""
    status = Path(f"/proc/{process.command_pid()}/status").read_text(errors="replace")
    return int(status.partition("NSpid:")[2].splitlines()[0].split()[-1])


if __name__ == "__main__":
    sys.exit(main())
