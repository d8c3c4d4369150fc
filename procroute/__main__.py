"""`procroute` and `python -m procroute`."""

from __future__ import annotations

import sys


def main() -> int:
    """The command line; returns the exit status."""
    try:
        if sys.argv[1:2] == ["run"]:
            from procroute.cli import quick

            status = quick.run(sys.argv[2:])
            if status is not None:
                return status
        from procroute.cli.main import main as run

        return run()
    except KeyboardInterrupt:  # while it was imported, or the daemon worked
        return 130


def daemon() -> int:
    """`procrouted`, which is `procroute daemon`."""
    sys.argv[1:1] = ["daemon"]
    return main()


if __name__ == "__main__":
    sys.exit(main())
