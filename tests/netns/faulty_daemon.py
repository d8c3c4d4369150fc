"""A program for the machine: a daemon in which a call fails, or that is killed at it, as it does something.

    python -m tests.netns.faulty_daemon JSON

JSON: part, parts and most as of fates (tests/netns/faults.py); deed: what it does meanwhile (see Deeds);
pid: of a process that is to be moved; command: as of faulty_run.py. For each fate one JSON line, and it
waits for a line on stdin before it goes on without faults:

    {"fate": "17:ENOMEM", "call": "netlink 24", "error": ["kernel-refused", "...", "..."], "alive": true,
     "cgroup": "/", "said": "..."}
    {"restored": [...]}                 what was left or missing after that; or why it could not go on
    {"calls": 143}                      the last line
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import nftables  # noqa: F401 - once, and not in every fork

from procroute.cli.main import main as procroute
from procroute.client import Client
from procroute.daemon import main as daemon_main  # noqa: F401 - same
from procroute.errors import ProcrouteError
from procroute.kernel import faults
from procroute.lab.patience import FACTOR
from procroute.protocol import Assign, Ps, Release, Request, Wanted
from tests.netns.faults import PORTS, RAN, Fate, Hook, changes, fate_of, fates, logged, state
from tests.netns.faulty_run import Begun

_SECONDS = 10 * FACTOR


def wait(true: Callable[[], object], seconds: float = _SECONDS) -> bool:
    """Look often until it is; whether it ever was."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


class Daemon:
    """procrouted in a fork, with a fault hook. of_keeper: that thread's calls count, not the others'."""

    def __init__(self, fate: Fate | None = None, *, of_keeper: bool = False) -> None:
        self._said, self._log = os.memfd_create("said"), os.memfd_create("log")
        orders, self._orders = os.pipe()
        self._done, done = os.pipe()
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._orders)
            os.dup2(self._said, 1)
            os.dup2(self._said, 2)
            faulthandler.enable(2)
            hook = Hook(lambda: (threading.current_thread().name == "keeper") == of_keeper, self._log)
            hook.arm(fate)
            faults.hook(hook)

            def obey() -> None:
                with os.fdopen(orders) as lines:
                    for line in lines:
                        hook.arm(fate_of(line.strip()) if line.strip() else None)
                        os.write(done, b".")

            threading.Thread(target=obey, daemon=True).start()
            status = 99
            try:
                status = procroute(["daemon"])
            except BaseException:  # noqa: BLE001 - a traceback is what the test looks for
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(status)
        os.close(orders)
        os.close(done)

    def begun(self) -> bool:
        """Wait until it is ready, or has ended; whether it lives."""
        wait(lambda: "ready" in self.said() or not self.alive())
        return self.alive()

    def alive(self) -> bool:
        """Whether it has not ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def arm(self, fate: Fate | None) -> None:
        """From now on calls are counted, and that one meets its fate."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._orders, f"{fate or ''}\n".encode())
            os.read(self._done, 1)

    def said(self) -> str:
        """What it has said so far."""
        return os.pread(self._said, 1 << 20, 0).decode(errors="replace")

    def calls(self) -> tuple[list[str], str]:
        """Those that counted since it was armed, and the one that met its fate."""
        return logged(self._log)

    def end(self, number: int) -> None:
        """Send it a signal and wait."""
        if self.alive():
            os.kill(self.pid, number)
            wait(lambda: not self.alive())
        for descriptor in (self._said, self._log, self._orders, self._done):
            os.close(descriptor)


class Deeds:
    """What a daemon does: each returns what was answered. subject: the PID that is to be moved."""

    def __init__(self, subject: int, daemon: Daemon, command: str) -> None:
        self.subject = subject
        self.command = command
        self.port = PORTS
        self.daemon = daemon
        self.child = 0

    def ask(self, request: Request) -> list[str]:
        """What is wrong, as code, message and hint; nothing where it was done."""
        try:
            with Client(timeout=_SECONDS) as client:
                client.ask(request)
        except ProcrouteError as e:
            return [e.code, e.message, e.hint]
        return []

    def assign(self) -> list[str]:
        """Put the subject on wan1."""
        return self.ask(Assign(pids=[self.subject], route=Wanted(via="wan1")))

    def release(self) -> list[str]:
        """Let it go."""
        return self.ask(Release(pids=[self.subject]))

    def run(self) -> list[str]:
        """A command, which the daemon places; the next one sends to the next port."""
        self.port += 1
        command = self.command.replace("$PORT", str(self.port))
        begun = Begun(["run", "--via", "wan1", "--", "sh", "-c", command], "", None)
        return [] if begun.status == RAN else [str(begun.status), begun.said, ""]

    def start(self) -> list[str]:
        """Nothing more than to begin."""
        return []

    def end(self) -> list[str]:
        """The last process of a route ends."""
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        wait(lambda: self.daemon.calls()[1] or not self.daemon.alive(), 0.5 * FACTOR)
        return []

    def repair(self) -> list[str]:
        """Somebody removes our ip rules and nft table, so quickly that all is repaired at once."""
        os.system(
            "for f in 4 6; do ip -$f rule | sed -nE 's/^(4[456][0-9]{2}):.*/rule del pref \\1/p'"
            " | ip -$f -force -batch - 2>/dev/null; done; nft delete table inet procroute 2>/dev/null"
        )
        wait(lambda: self.daemon.calls()[1] or not self.daemon.alive(), 0.5 * FACTOR)
        return []

    def before(self, deed: str) -> list[str]:
        """What there must be first."""
        if deed in ("release", "repair", "start"):
            return self.assign()
        if deed == "end":
            self.child = os.fork()
            if self.child == 0:
                signal.pause()
                os._exit(0)
            return self.ask(Assign(pids=[self.child], route=Wanted(via="wan1")))
        return []

    def assigned(self) -> list[int]:
        """The PIDs that `ps` shows."""
        with Client(timeout=_SECONDS) as client:
            return [p.pid for a in client.ask(Ps()).assignments for p in a.processes]

    def cgroup(self) -> str:
        """Of the subject."""
        lines = Path(f"/proc/{self.subject}/cgroup").read_text().splitlines()
        return next(line[3:] for line in lines if line.startswith("0::"))


def tell(**found: object) -> None:
    """Say one line."""
    print(json.dumps(found), flush=True)


class Sweep:
    """One deed, again and again."""

    def __init__(self, name: str, subject: int, command: str) -> None:
        self._name = name
        self._of_keeper = name == "repair"
        self._deeds = Deeds(subject, Daemon(of_keeper=self._of_keeper), command)
        self._deeds.daemon.begun()
        # From the first assignment on there is a file with the last id.
        if wrong := [*self._deeds.assign(), *self._deeds.release()]:
            raise RuntimeError(f"it does not go well without a fault: {wrong}")
        wait(lambda: not any("procroute.slice" in line for line in state()))
        self._idle = state()
        self._ready: list[str] = []
        self._unfinished = False

    def _restart(self, fate: Fate | None = None) -> bool:
        self._deeds.daemon = Daemon(fate, of_keeper=self._of_keeper)
        return self._deeds.daemon.begun()

    def _prepare(self) -> None:
        if wrong := self._deeds.before(self._name):
            raise RuntimeError(f"it does not go well without a fault: {wrong}")
        if self._name == "repair":
            self._deeds.daemon.arm(None)
            last = ""
            while last != (now := "\n".join(state())) or self._deeds.daemon.calls()[0]:
                last = now
                self._deeds.daemon.arm(None)
                time.sleep(0.1)
        self._ready = state()

    def do(self, fate: Fate | None) -> tuple[list[str], list[str]]:
        """The deed with this fate: what was answered, and the calls that were made."""
        self._prepare()
        if self._name == "start":
            self._deeds.daemon.end(signal.SIGKILL if fate and fate.at % 2 else signal.SIGTERM)
            self._restart(fate)
        else:
            self._deeds.daemon.arm(fate)
        error: list[str] = getattr(self._deeds, self._name)()
        self._unfinished = bool(error)
        if fate is None and self._name in ("end", "repair"):
            time.sleep(0.3)
        return error, self._deeds.daemon.calls()[0]

    def look(self, fate: Fate, error: list[str]) -> None:
        """Say how it is."""
        daemon = self._deeds.daemon
        if fate.kills and daemon.calls()[1]:
            wait(lambda: not daemon.alive())
        tell(
            fate=str(fate),
            call=daemon.calls()[1],
            error=error,
            alive=daemon.alive(),
            status=daemon.status,
            cgroup=self._deeds.cgroup(),
            port=self._deeds.port,
            said=daemon.said(),
        )

    def restore(self) -> list[str]:
        """Go on without faults; what is then not as it should be."""
        deeds = self._deeds
        if deeds.daemon.alive():
            deeds.daemon.arm(None)
        if not deeds.daemon.begun():
            deeds.daemon.end(0)
            if not self._restart():
                return [f"no daemon again: {deeds.daemon.said()}"]
        wrong: list[str] = []
        # What was refused again and again is tried again after a pause.
        if self._name == "repair" and not wait(lambda: not changes(self._ready, state()), 6 * _SECONDS):
            wrong += changes(self._ready, state())
        if self._name == "run" and self._unfinished:
            wrong += deeds.run()
        there = deeds.subject in deeds.assigned()
        if self._name in ("assign", "release") and not there and self._unfinished:
            wrong += deeds.assign()
            there = True
        if self._name in ("start", "repair") and not there:
            wrong.append("it is not assigned any more")
        if there:
            wrong += deeds.release()
        if not wait(lambda: not changes(self._idle, state()), 3 * _SECONDS):
            wrong += changes(self._idle, state())
        return wrong

    def close(self) -> None:
        """End the daemon."""
        self._deeds.daemon.end(signal.SIGTERM)


def main() -> int:
    """Sweep as the arguments say."""
    given = json.loads(sys.argv[1])
    sweep = Sweep(given["deed"], given["pid"], given.get("command", ""))
    error, calls = sweep.do(None)
    if wrong := [*error, *sweep.restore()]:
        raise RuntimeError(f"it does not go well without a fault: {wrong}")
    for fate in fates(calls, given["part"], given["parts"], given["most"]):
        error, _ = sweep.do(fate)
        sweep.look(fate, error)
        sys.stdin.readline()
        tell(restored=sweep.restore())
    sweep.close()
    tell(calls=len(calls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
