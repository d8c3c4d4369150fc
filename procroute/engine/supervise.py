"""Stay with a command: pass signals on, keep its route in step, wait for its last process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from procroute.engine.follow import Follower
from procroute.engine.leaving import Leaving
from procroute.engine.words import Tell, describe
from procroute.kernel import cgroups, descriptors
from procroute.kernel.signals import Received, Signals

# What stops a job is for the command too: we stop when it has, so that its shell does not go on before.
FORWARDED: frozenset[int] = frozenset(signal.valid_signals()) - {
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
}
_STOPPING = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


class Supervisor:
    """Watches one assignment, from its start to its last process. leaving: watches who leaves it.

    given: the open files that our caller meant for CMD. interrupted: CMD was ended by the terminal's SIGINT,
    which we got as well.
    """

    def __init__(
        self,
        pid: int,
        assignment: Path,
        signals: Signals,
        follower: Follower,
        tell: Tell,
        given: Collection[int] = (),
        leaving: Leaving | None = None,
    ) -> None:
        self.pid = pid
        self.assignment = assignment
        self.status: int | None = None
        self.interrupted = False
        self._signals = signals
        self._follower = follower
        self._tell = tell
        self._given = given
        self._leaving = leaving
        self._stopped = False
        self._leave = False
        self._interrupt_seen = False

    def pass_on(self, early: Iterable[Received]) -> None:
        """Give CMD what came for the job before CMD was there."""
        for received in early:
            if received.number != signal.SIGCHLD:
                self._interrupt_seen |= received.by_kernel and received.number == signal.SIGINT
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, received.number)

    def watch(self) -> int:
        """Returns CMD's exit status, 128+n for signal n, when nothing of the assignment runs any more.

        A terminal's or user's wish to end, once only others are waited for, sends us to the background: the
        shell has its prompt back, and what is ours is still removed after the last one.
        """
        events = self._events()
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        for descriptor in (
            *self._follower.monitor.filenos(),
            *(self._leaving.filenos() if self._leaving else ()),
        ):
            poll.register(descriptor, select.POLLIN)
        if events is not None:
            poll.register(events, select.POLLPRI)
        try:
            while True:
                self._reap()
                if self.status is not None and not cgroups.populated(self.assignment):
                    return self.status
                if events is not None and not _seen(events):
                    poll.unregister(events)
                    os.close(events)
                    events = None
                for descriptor, _ in poll.poll(self._timeout()):
                    if descriptor == self._signals.fileno():
                        for received in self._signals.read():
                            self._on_signal(received)
                self._follower.work()
                if self._leaving:
                    self._leaving.work()
                if self._leave:
                    self._to_background()
        finally:
            if events is not None:
                os.close(events)

    def _timeout(self) -> int | None:
        """Milliseconds until there is something to do; None: nothing until news come."""
        due = [self._follower.timeout(), self._leaving.timeout() if self._leaving else None]
        return min((t for t in due if t is not None), default=None)

    def _events(self) -> int | None:
        """The file that tells of the assignment's last process; none when a cleanup has removed it already.

        SIGCHLD then tells of CMD's end.
        """
        try:
            return os.open(self.assignment / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None

    def _reap(self) -> None:
        """See what became of CMD; when it stopped, stop too, so that the shell sees its job stopped."""
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if pid == 0:
                break
            if os.WIFSTOPPED(status):
                self._stopped = True
                os.kill(os.getpid(), signal.SIGSTOP)
                self._continue()
            elif os.WIFCONTINUED(status):
                self._stopped = False
            else:
                self._stopped = False
                self.status = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                self._take_what_it_got_too()
                self._say_who_remains()
        self._reap_orphans()

    def _reap_orphans(self) -> None:
        """Descendants that became our children when theirs ended."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            # CMD itself may have ended since it was asked for: that is for the next look.
            if ended is None or (ended.si_pid == self.pid and self.status is None):
                return
            os.waitpid(ended.si_pid, 0)

    def _take_what_it_got_too(self) -> None:
        """What the terminal had sent before CMD ended was for CMD: no wish that we leave."""
        for received in self._signals.read():
            if received.by_kernel:
                self._interrupt_seen = self._interrupt_seen or received.number == signal.SIGINT
            else:
                self._on_signal(received)
        self.interrupted = self._interrupt_seen and self.status == 128 + signal.SIGINT

    def _continue(self) -> None:
        if self._stopped and self.status is None:
            self._stopped = False
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)

    def _say_who_remains(self) -> None:
        """Give what is ending with CMD a moment, then name the rest."""
        until = time.monotonic() + 0.05
        while cgroups.populated(self.assignment):
            if time.monotonic() > until:
                named = ", ".join(describe(pid) for pid, _ in cgroups.processes(self.assignment))
                self._tell(f"waiting for {named or 'a process'} that the command left running on its route")
                return
            time.sleep(0.005)

    def _on_signal(self, received: Received) -> None:
        if received.number == signal.SIGCHLD:
            if self.status is not None:
                self._reap_orphans()
            return
        if received.number == signal.SIGCONT:
            self._continue()
        elif self.status is not None:
            self._leave = self._leave or received.number in _ENDING
            if received.number in _STOPPING:
                os.kill(os.getpid(), signal.SIGSTOP)
        elif received.by_kernel:
            self._interrupt_seen = self._interrupt_seen or received.number == signal.SIGINT
        elif received.sender not in (self.pid, os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, received.number)

    def rest(self, seconds: float) -> None:
        """Let time pass once CMD has ended, and go to the background when somebody wants the prompt back."""
        poll = select.poll()  # select() takes no descriptor above 1023
        poll.register(self._signals, select.POLLIN)
        poll.poll(seconds * 1000)
        for received in self._signals.read():
            self._on_signal(received)
        if self._leave:
            self._to_background()

    def _to_background(self) -> None:
        """Let the shell go on; a forked copy stays until the last process has ended.

        It lets go of the caller's files, so that a pipeline ends; what it still has to tell is dropped.
        """
        self._leave = False
        if os.fork() != 0:
            os._exit(self.status or 0)
        os.setsid()
        descriptors.let_go(self._given)


def _seen(events: int) -> bool:
    """Read it, so that only the next change wakes us; whether the cgroup is still there."""
    try:
        os.pread(events, 512, 0)
    except OSError:
        return False
    return True
