"""A program that says over and over by which router it leaves: `4711: IPv4 wan2, IPv6 wan2`.

python traveller.py ADDRESS4 ADDRESS6
"""

from __future__ import annotations

import os
import sys
import time

from procroute.lab.client import ask


def main() -> None:
    """One line each time."""
    while True:
        found = []
        for address in sys.argv[1:3]:
            try:
                found.append(ask("tcp", address)["router"])
            except OSError as e:
                found.append(type(e).__name__)
        print(f"{os.getpid()}: IPv4 {found[0]}, IPv6 {found[1]}", flush=True)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
