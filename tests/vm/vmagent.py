#!/usr/bin/python3
"""Runs jobs in a virtual machine. A job: 8 bytes of length and a tar with run.sh, on a virtio-serial port.

What it writes goes back in frames (4 bytes of length, then the bytes); a frame of length 0 and one byte, its
exit status, end it. A job of length 0 asks whether anybody is there.
"""

from __future__ import annotations

import os
import struct
import subprocess
import time
from pathlib import Path
from typing import Final

PORT: Final = "/dev/virtio-ports/job"
JOB: Final = Path("/srv/job")


class Port:
    """The port, whose other end may come and go."""

    def __init__(self) -> None:
        while not os.path.exists(PORT):
            time.sleep(0.05)
        self._fd = os.open(PORT, os.O_RDWR)

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        data = bytearray()
        while len(data) < size:
            part = os.read(self._fd, min(1 << 20, size - len(data)))
            if not part:  # nobody at the other end
                time.sleep(0.02)
            data += part
        return bytes(data)

    def write(self, data: bytes) -> None:
        """All of it."""
        while data:
            data = data[os.write(self._fd, data) :]


def work(port: Port, job: bytes) -> None:
    """Unpack a job, run it in a unit of its own, send what it says."""
    JOB.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "xf", "-", "-C", JOB], input=job, check=True)
    unit = ["systemd-run", "-q", "--pipe", "--wait", "--collect", "-p", f"WorkingDirectory={JOB}"]
    with subprocess.Popen(
        [*unit, "-p", "Delegate=yes", "/bin/bash", "./run.sh"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout
        while part := os.read(process.stdout.fileno(), 65536):
            port.write(struct.pack(">I", len(part)) + part)
    port.write(struct.pack(">IB", 0, process.returncode & 255))


def main() -> None:
    """One job after the other, as long as the machine runs."""
    port = Port()
    while True:
        (size,) = struct.unpack(">Q", port.read(8))
        if size:
            work(port, port.read(size))
        else:
            port.write(b"PONG")


if __name__ == "__main__":
    main()
