"""News of the kernel's process connector, for a daemon in a lab: it speaks to nobody there.

with Relay(lab, folder) as relay, daemon(lab, *relay.words): ...

A thread of the test listens where the connector speaks, and passes on what is of the machine, by the PIDs
that count there. In the machine this module is a daemon that hears the relay instead of the connector, and,
so that nothing but news finds anybody, does not look once a second:

    python -m tests.netns.relay SOCKET
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from procroute.core.census import Life
from procroute.kernel.connector import Connector
from procroute.lab import Lab

_LIFE: Final = struct.Struct("=I?")
_LOST: Final = _LIFE.pack(0, False)


class Relay:
    """mute: nothing is passed on; lose: instead of news it is said that some were lost."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.mute = self.lose = False
        self._path = str(folder / "news.sock")
        self.words = (sys.executable, "-m", "tests.netns.relay", self._path)
        self._space = os.stat(f"/proc/{lab.machine.pid}/ns/pid").st_ino
        self._there: dict[int, int] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._pass_on)

    def __enter__(self) -> Self:
        self._listener.bind(self._path)
        self._listener.listen(1)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._stopped)
        self._thread.join(10)
        os.close(self._stop)
        self._listener.close()

    def _pass_on(self) -> None:
        select.select([self._stop, self._listener.fileno()], [], [])
        self._listener.setblocking(False)
        with contextlib.suppress(OSError), contextlib.closing(Connector()) as heard:
            to, _ = self._listener.accept()
            with to:
                while self._stop not in select.select([self._stop, heard.fileno()], [], [])[0]:
                    told = heard.read()
                    for packet in [_LOST] if told is None else self._packets(told):
                        if not self.mute:
                            to.send(_LOST if self.lose else packet)

    def _packets(self, told: list[Life]) -> list[bytes]:
        found = ((self._number(life.pid), life.ended) for life in told)
        return [_LIFE.pack(pid, ended) for pid, ended in found if pid]

    def _number(self, pid: int) -> int:
        """What a process is called in the machine; 0: it is not there."""
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}/ns/pid").st_ino != self._space:
                return 0
            lines = Path(f"/proc/{pid}/status").read_text(errors="replace").split("\n")
            self._there[pid] = int(next(line for line in lines if line.startswith("NSpid:")).split()[-1])
        return self._there.get(pid, 0)  # one that has ended was known


class _Relayed:
    """The relay, for the daemon: as Connector."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(path)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> list[Life] | None:
        found: list[Life] = []
        lost = False
        while True:
            try:
                packet = self._socket.recv(_LIFE.size)
            except BlockingIOError:
                return None if lost else found
            if not packet:
                raise OSError("the relay has ended")
            pid, ended = _LIFE.unpack(packet)
            lost |= not pid
            found.append(Life(pid, 0, ended=ended))

    def close(self) -> None:
        self._socket.close()


def _main(path: str) -> int:
    from procroute.cli.main import main
    from procroute.daemon import newcomers
    from procroute.kernel import connector

    connector.listen = lambda: _Relayed(path)  # type: ignore[assignment, return-value]
    newcomers._EVERY = 3600.0  # type: ignore[misc]
    return main(["daemon"])


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
