"""Sleeps under a name of its own choice: python named.py NAME-IN-HEX, as prctl(2) PR_SET_NAME takes it."""

from __future__ import annotations

import ctypes
import signal
import sys


def main() -> None:
    """Until it is killed."""
    ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)
    signal.pause()


if __name__ == "__main__":
    main()
