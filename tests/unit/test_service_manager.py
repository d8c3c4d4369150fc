"""What systemd is told by a service, and the socket that it gives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from procroute.kernel.service_manager import ServiceManager

promise = pytest.mark.promise


def heard(listener: socket.socket) -> list[str]:
    listener.settimeout(5)
    return listener.recv(4096).decode().split("\n")


@promise("SERVICE-01")
@pytest.mark.parametrize("abstract", [False, True])
def test_what_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    place = f"@procroute-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(place.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        monkeypatch.setenv("WATCHDOG_USEC", "3000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        manager = ServiceManager()
        assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()
        assert manager.pause == 1.5
        manager.ready("3 routes")
        assert heard(listener) == ["READY=1", "STATUS=3 routes"]
        manager.reloading()
        assert heard(listener)[0] == "RELOADING=1"
        manager.alive()
        assert heard(listener) == ["WATCHDOG=1"]
        manager.stopping()
        assert heard(listener) == ["STOPPING=1"]
    manager.ready()  # nobody listens any more


@promise("SERVICE-01")
@pytest.mark.parametrize(
    "told",
    [
        {},
        {"WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_PID": "1", "WATCHDOG_USEC": "5"},
    ],
)
def test_nobody_asks_for_a_sign_of_life(monkeypatch: pytest.MonkeyPatch, told: dict[str, str]) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    manager = ServiceManager()
    assert manager.pause is None
    manager.ready()


_GIVES = """
import fcntl, os, sys
free = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 5) for fd in sys.argv[1:3]]
for place, given in enumerate(free, start=3):
    os.dup2(given, place)
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[3:]])
"""
_TAKES = """
import os, sys
from pathlib import Path
os.environ["LISTEN_PID"] = str(os.getpid()) if sys.argv[2] == "mine" else "1"
from procroute.kernel.service_manager import given_socket
given = given_socket(Path(sys.argv[1]))
left = [n for n in (3, 4) if Path(f"/proc/self/fd/{n}").exists()]
print(given.fileno() if given else None, left, sorted(n for n in os.environ if n.startswith("LISTEN")))
"""


@promise("SERVICE-02")
@pytest.mark.parametrize(
    ("whose", "count", "said"),
    [("mine", "2", "4 [4] []"), ("other", "2", "None [3, 4] []"), ("mine", "nonsense", "None [3, 4] []")],
)
def test_the_socket_that_is_given(tmp_path: Path, whose: str, count: str, said: str) -> None:
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as meant:
        for sock, name in ((other, "other"), (meant, "meant")):
            sock.bind(str(tmp_path / name))
            sock.listen()

        given = [other.fileno(), meant.fileno()]
        done = subprocess.run(
            [sys.executable, "-c", _GIVES, *map(str, given), _TAKES, str(tmp_path / "meant"), whose],
            env=os.environ | {"LISTEN_FDS": count},
            pass_fds=given,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.strip() == said, done.stderr
