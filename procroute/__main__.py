"""`procroute` and `python -m procroute`."""

from __future__ import annotations

import sys


def main() -> int:
    """The command line; returns the exit status."""
    try:
        from procroute.cli.main import main as run

        return run()
    except KeyboardInterrupt:  # while it was imported
        return 130


if __name__ == "__main__":
    sys.exit(main())
