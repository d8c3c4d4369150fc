"""Programs for the machine that lack a mechanism, as negative controls.

python -m tests.netns.lesser_daemon index     a daemon that asks all rules about each process
                                    news      one that hears no news of processes
                                    later     one that lets a held program begin when all is written down
                                    absent    one that opens no route before its adapter
python -m tests.netns.lesser_daemon mounts    a holder that marks the whole mounts of files
"""

from __future__ import annotations

import sys

from msgspec.structs import replace

from procroute.cli.main import main
from procroute.daemon import by_rule, routes
from procroute.daemon.newcomers import Newcomers
from procroute.engine.opening import decide
from procroute.holder import __main__ as holder
from procroute.kernel import exec_hold
from procroute.rulebook.index import Index

_MARK_MOUNT = 0x10  # linux/fanotify.h, FAN_MARK_MOUNT


def _without(mechanism: str) -> None:
    if mechanism == "index":
        indexed = Index.__init__

        def all_asked(self: Index, *rules: object) -> None:
            indexed(self, *rules)  # type: ignore[arg-type]
            self._always = list(range(len(self._rules)))

        Index.__init__ = all_asked  # type: ignore[method-assign, assignment]
    elif mechanism == "news":
        Newcomers.want = lambda self, needed: None  # type: ignore[method-assign]
    elif mechanism == "later":  # as for who brings open sockets along
        by_rule.has_any = lambda pid: True  # type: ignore[attr-defined]
    elif mechanism == "absent":
        routes.decide = lambda linux, request, settings: decide(  # type: ignore[attr-defined]
            linux, replace(request, absent=False), settings
        )
    elif mechanism == "mounts":
        exec_hold._ADD |= _MARK_MOUNT
        exec_hold._REMOVE |= _MARK_MOUNT
    else:
        raise ValueError(mechanism)


if __name__ == "__main__":
    _without(sys.argv[1])
    raise SystemExit(holder.main() if sys.argv[1] == "mounts" else main(["daemon"]))
