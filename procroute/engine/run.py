"""`procroute run`, embedded: the engine lives as long as the command, and cleans up after it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection
from pathlib import Path

from procroute.core.machine import Observed
from procroute.engine.follow import Follower
from procroute.engine.launch import Start, launch
from procroute.engine.linger import end, linger
from procroute.engine.lock import Pause, lock, patient, release_directory
from procroute.engine.reconcile import reconcile
from procroute.engine.request import Request, route_for
from procroute.engine.supervise import FORWARDED, Supervisor
from procroute.engine.user import find
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import cgroups, descriptors, resolvers, sysctl
from procroute.kernel.linux import Linux
from procroute.kernel.signals import Received, Signals
from procroute.model import LiveRoute


def run(request: Request, identity: Identity, tell: Tell) -> int:
    """Run a command by an adapter; returns its exit status, 128+n for signal n.

    tell: says a line to the person at the terminal. Raises ProcrouteError when the command was not started;
    then nothing of ours is left. What goes wrong later is told, and the status stays the command's.
    """
    given = descriptors.given()
    with contextlib.ExitStack() as stack:
        linux = stack.enter_context(Linux(identity))
        # Listening starts before the first look, so that nothing is missed between that and the command.
        follower = stack.enter_context(contextlib.closing(Follower(linux, tell)))
        with lock(patient(tell)):
            # From here on signals are for the command; until here they are for us, and nothing is done yet.
            signals = stack.enter_context(contextlib.closing(Signals(FORWARDED)))
            try:
                number, assignment, attending, pid, early = _start(linux, request, signals, tell)
            except BaseException:
                with contextlib.suppress(ProcrouteError, OSError):
                    _settle(linux)
                raise
        follower.route = number
        supervisor = Supervisor(pid, assignment, signals, follower, tell, given)
        supervisor.pass_on(early)
        status = supervisor.watch()
        try:
            _finish(linux, number, assignment, attending, supervisor.rest, tell)
        except (ProcrouteError, OSError) as e:
            tell(f"what is ours could not be removed: {e}; procroute cleanup tries again")
    if supervisor.interrupted:
        # A shell ends its loop only when the job itself dies of the terminal's SIGINT.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return status


def _start(
    linux: Linux, request: Request, signals: Signals, tell: Tell
) -> tuple[int, Path, int, int, list[Received]]:
    user = find(request.user) if request.user is not None else None
    for path in (*cgroups.unnamed(linux.mount), *cgroups.abandoned(linux.mount, linux.namespace)):
        if not cgroups.populated(path):
            cgroups.remove_tree(path)
    observed = linux.observe()
    live, notes = route_for(linux, observed, request)
    for note in notes:
        tell(note)

    def routes(now: Observed) -> Collection[LiveRoute]:
        return [*(t for t in now.alive() if t.number != live.number), live]

    reconcile(linux, linux.identity, routes, observed)
    target = linux.path(live.number)
    assignment = cgroups.add_assignment(target, f"run-{os.getpid()}", cgroups.current())
    start = Start(request.command, assignment, user, resolvers.private(live))
    attending = cgroups.attend(target)
    early = signals.read()
    try:
        pid = launch(start, signals.newly_blocked)
    except BaseException:
        os.close(attending)
        with contextlib.suppress(ProcrouteError, OSError):
            cgroups.remove_tree(assignment)
        raise
    return live.number, assignment, attending, pid, early


def _finish(
    linux: Linux, number: int, assignment: Path, attending: int, pause: Pause, tell: Tell
) -> None:
    """Remove what nobody uses any more. attending: what keeps the target ours while its last packets go."""
    target = assignment.parent
    with lock(pause):
        cgroups.remove_tree(assignment)
    if not cgroups.populated(target):
        linger(linux.identity, [number], pause)
    with lock(pause):
        os.close(attending)
        # Without the target the number may be another route's by now: cleanup --force removed what was ours.
        if target.exists() and not cgroups.in_use(target):
            end(linux.identity, [number], tell)
        _settle(linux)


def _settle(linux: Linux) -> None:
    """What living routes need, and nothing else."""
    now = reconcile(linux, linux.identity)
    sysctl.restore_all(linux.namespace, but=now.ours.valid_mark)
    release_directory()
