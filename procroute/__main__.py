"""`procroute` and `python -m procroute`."""

from __future__ import annotations

import sys


def main() -> int:
    """The command line; returns the exit status."""
    from procroute.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
