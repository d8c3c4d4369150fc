"""A program that sends a datagram of each family, and writes down from which cgroup.

    python -S says_where.py FILE STATUS ADDRESS...

FILE gets a line for each: `4 SOURCE_PORT CGROUP`, where it is once it has sent. Standard library only.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path


def cgroup() -> str:
    """Our own one of version 2."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next(line for line in lines if line.startswith("0::")).removeprefix("0::")


def main() -> int:
    """STATUS."""
    path, status, *addresses = sys.argv[1:]
    with open(path, "ab", 0) as file:
        for to in addresses:
            family = 6 if ":" in to else 4
            kind = socket.AF_INET6 if family == 6 else socket.AF_INET
            with socket.socket(kind, socket.SOCK_DGRAM) as sock:
                with contextlib.suppress(OSError):
                    sock.connect((to, 7000))
                    sock.send(b"x")
                file.write(f"{family} {sock.getsockname()[1]} {cgroup()}\n".encode())
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
