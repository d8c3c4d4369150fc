"""A program for the machine: a daemon in which a call fails, or that is killed at it, as ways change.

    python -m tests.netns.faulty_ways JSON

JSON: part, parts and most as of fates (tests/netns/faults.py); before: a configuration; deed: "reload", as it
is `after`, or "news": the shell script `happens` is run, and `undone` makes all as before; then route: whose
way changes, ways: its adapters before and after, and pid: of who is put on it; stand_in and port: an adapter
to be taken for WireGuard (stand_in.py), or nothing. For each fate one JSON line, and it waits for a line on
stdin before it goes on without faults:

    {"fate": "17:ENOMEM", "call": "netlink 24", "error": ["kernel-refused", "...", "..."], "notes": [],
     "alive": true, "said": "..."}
    {"restored": [...]}                 what was left or missing after that; or why it could not go on
    {"calls": 143}                      the last line
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from procroute.client import Client
from procroute.errors import ProcrouteError
from procroute.identity import CONFIG_FILE
from procroute.lab.patience import FACTOR
from procroute.protocol import Assign, Ps, Reload, Wanted
from tests.netns.faults import Fate, changes, fates, state
from tests.netns.faulty_daemon import Daemon, tell, wait
from tests.netns.stand_in import stand_in

_SECONDS = 10 * FACTOR
_PASSES = frozenset({"ENOMEM", "EBUSY", "ENOBUFS"})
"""Ways to fail after which the daemon tries again by itself, unless it has refused what it was asked for."""


def shape() -> list[str]:
    """What is there, but for names of tables, which are a comfort, and the numbers of assignments."""
    lines = (line for line in state() if "/etc/iproute2" not in line)
    return sorted({re.sub(r"(assign-|rule-|assignments/)[0-9]+", r"\1N", line) for line in lines})


class Sweep:
    """One deed, again and again."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._of_news = given["deed"] == "news"
        self._configure(given["before"])
        self._daemon = Daemon(of_keeper=self._of_news)
        self._daemon.begun()
        if self._of_news:
            with Client(timeout=_SECONDS) as client:
                client.ask(Assign(pids=[given["pid"]], route=Wanted(via=given["route"])))
        self._once()
        self._notes: list[str] = []
        self._refused = False
        self._before = self._settled()
        self._after: list[str] = []

    def do(self, fate: Fate | None) -> list[str]:
        """The deed with this fate: the calls that were made."""
        self._daemon.arm(fate)
        error = self._happen() if self._of_news else self._reload(self._given["after"])
        self._refused = bool(error)
        if fate is None:
            calls = self._daemon.calls()[0]
            self._after = self._settled()
            return self._daemon.calls()[0] if self._of_news else calls
        if fate.kills and self._daemon.calls()[1]:
            wait(lambda: not self._daemon.alive())
        tell(
            fate=str(fate),
            call=self._daemon.calls()[1],
            error=error,
            notes=self._notes,
            alive=self._daemon.alive(),
            said=self._daemon.said(),
        )
        return []

    def restore(self, fate: Fate | None) -> list[str]:
        """Go on without faults; what is then not as it should be."""
        lived = self._daemon.alive()
        kept = any("let go of open sockets" in note for note in self._notes)
        self._daemon.arm(None)
        if not self._daemon.begun():
            self._daemon.end(0)
            self._daemon = Daemon(of_keeper=self._of_news)
            if not self._daemon.begun():
                return [f"no daemon again: {self._daemon.said()}"]
        wrong: list[str] = []
        tries_again = lived and fate is not None and fate.way in _PASSES and not self._refused
        if not self._of_news and not tries_again:
            wrong += self._reload(self._given["after"]) + self._notes
        # A process may have a socket that carries the mark, for which the route stays: where the daemon was
        # killed as it let it go, and where it has said that open sockets could not be let go.
        stays = (fate is not None and fate.kills) or kept
        # A tunnel of the kernel's has no process: when it changes its route nothing of the old one may stay.
        whole = bool(self._given.get("stand_in")) and bool(self._given.get("after"))
        stays = stays and not self._of_news and bool(self._given["before"]) and not whole
        if not stays:
            wrong += self._until(self._after, self._given.get("ways", ["", ""])[1])
        if self._of_news:
            self._sh(self._given["undone"])
        else:
            wrong += self._reload(self._given["before"]) + self._notes
        return wrong + self._until(self._before, self._given.get("ways", [""])[0])

    def close(self) -> None:
        """End the daemon."""
        self._daemon.end(signal.SIGTERM)

    def _reload(self, text: str) -> list[str]:
        """Have it so; what is wrong, as code, message and hint."""
        self._configure(text)
        self._notes = []
        try:
            with Client(timeout=_SECONDS) as client:
                self._notes = client.ask(Reload()).notes
        except ProcrouteError as e:
            return [e.code, e.message, e.hint]
        return []

    def _once(self) -> None:
        """From the first time on there is the file with the last id, and a route that has switched has rules
        for the adapter that it has left."""
        if not self._of_news:
            for text in (self._given["after"], self._given["before"]):
                if wrong := self._reload(text) + self._notes:
                    raise RuntimeError(f"it does not go well without a fault: {wrong}")
            return
        for script, way in zip((self._given["happens"], self._given["undone"]), (1, 0), strict=True):
            self._sh(script)
            if self._until(None, self._given["ways"][way]):
                raise RuntimeError(f"it does not go well without a fault: {self._daemon.said()}")

    def _happen(self) -> list[str]:
        self._sh(self._given["happens"])
        wait(lambda: self._daemon.calls()[1] or not self._daemon.alive(), 0.5 * FACTOR)
        return []

    def _until(self, wanted: list[str] | None, way: str) -> list[str]:
        """What is not so in the end; None: anything. What was refused is tried again, after pauses."""

        def differs() -> list[str]:
            return changes(wanted, shape()) if wanted is not None else []

        if wait(lambda: not differs() and self._way() in ("", way), 3 * _SECONDS):
            return []
        return [*differs(), f"by {self._way()}", self._daemon.said()]

    def _way(self) -> str:
        """The adapter by which the route leaves, as `ps` says."""
        if not self._of_news:
            return ""
        with Client(timeout=_SECONDS) as client:
            return next((a.adapter for a in client.ask(Ps()).assignments), "")

    def _settled(self) -> list[str]:
        """What there is when nothing has happened for a while."""
        last: list[str] = []
        for _ in range(100):
            if last == (now := shape()):
                break
            last = now
            time.sleep(0.5 * FACTOR)
        return last

    @staticmethod
    def _configure(text: str) -> None:
        Path(CONFIG_FILE).parent.mkdir(exist_ok=True)
        Path(CONFIG_FILE).write_text(text, encoding="utf-8")

    @staticmethod
    def _sh(script: str) -> None:
        if os.system(script):
            raise RuntimeError(f"it did not happen: {script}")


def main() -> int:
    """Sweep as the arguments say."""
    given = json.loads(sys.argv[1])
    if given.get("stand_in"):
        stand_in(given["stand_in"], given["port"])
    sweep = Sweep(given)
    calls = sweep.do(None)
    if wrong := sweep.restore(None):
        raise RuntimeError(f"it does not go well without a fault: {wrong}")
    for fate in fates(calls, given["part"], given["parts"], given["most"]):
        sweep.do(fate)
        sys.stdin.readline()
        tell(restored=sweep.restore(fate))
    sweep.close()
    tell(calls=len(calls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
