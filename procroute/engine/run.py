"""`procroute run`, embedded: the engine lives as long as the command, and cleans up after it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection
from pathlib import Path

from msgspec import Struct

from procroute.core import overlap
from procroute.core.machine import Observed
from procroute.engine.follow import Follower
from procroute.engine.launch import Launched, Start, launch
from procroute.engine.linger import end, linger
from procroute.engine.lock import Pause, lock, patient, release_directory
from procroute.engine.reconcile import reconcile
from procroute.engine.request import Request, route_for
from procroute.engine.supervise import FORWARDED, Supervisor
from procroute.engine.user import User, find
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import cgroups, descriptors, resolvers, sysctl
from procroute.kernel.linux import Linux
from procroute.kernel.signals import Received, Signals
from procroute.model import LiveRoute


class Place(Struct, frozen=True):
    """What a command is started with. lock: the descriptor of the lock that is held."""

    request: Request
    user: User | None
    signals: Signals
    lock: int


class Started(Struct, frozen=True):
    """A command in its assignment. attending: what keeps the target in use while its last packets go.

    early: the signals that came before the command was there.
    """

    child: Launched
    assignment: Path
    attending: int
    early: list[Received]


def run(request: Request, identity: Identity, tell: Tell) -> int:
    """Run a command by an adapter; returns its exit status, 128+n for signal n.

    tell: says a line to the person at the terminal. Raises ProcrouteError when the command was not started;
    then what was done for it is undone. What goes wrong later is told, and the status stays the command's.
    """
    given = descriptors.given()
    user = find(request.user) if request.user is not None else None
    with contextlib.ExitStack() as stack:
        linux = stack.enter_context(Linux(identity))
        # Listening starts before the first look, so that nothing is missed between that and the command.
        follower = stack.enter_context(contextlib.closing(Follower(linux, tell)))
        with lock(patient(tell)) as held:
            # From here on signals are for the command; until here they are for us, and nothing is done yet.
            signals = stack.enter_context(contextlib.closing(Signals(FORWARDED)))
            try:
                observed, live = _decide(linux, request, tell)
            except BaseException:
                release_directory()
                raise
            try:
                started = _start(linux, observed, live, Place(request, user, signals, held))
            except BaseException:
                with contextlib.suppress(ProcrouteError, OSError):
                    _settle(linux)
                raise
        # The command is executed without the lock: its file system may take its time, or never answer.
        follower.route = live.number
        child = started.child
        supervisor = Supervisor(child.pid, started.assignment, signals, follower, tell, given)
        supervisor.pass_on(started.early)
        status = supervisor.watch()
        failure = child.failure()
        try:
            _finish(linux, live.number, started, supervisor.rest, tell)
        except (ProcrouteError, OSError) as e:
            tell(f"what is ours could not be removed: {e}; procroute cleanup tries again")
    if failure is not None:
        raise failure
    if supervisor.interrupted:
        # A shell ends its loop only when the job itself dies of the terminal's SIGINT.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return status


def _decide(linux: Linux, request: Request, tell: Tell) -> tuple[Observed, LiveRoute]:
    """What is there, and the route to use or to make. Nothing is changed yet."""
    overlap.check_identities(linux.identity, cgroups.identities(linux.mount, linux.namespace))
    observed = linux.observe()
    live, notes = route_for(linux, observed, request)
    for note in notes:
        tell(note)
    return observed, live


def _start(linux: Linux, observed: Observed, live: LiveRoute, place: Place) -> Started:
    for path in (*cgroups.unnamed(linux.mount), *cgroups.abandoned(linux.mount, linux.namespace)):
        if not cgroups.populated(path):
            cgroups.remove_tree(path)

    def routes(now: Observed) -> Collection[LiveRoute]:
        return [*(t for t in now.alive() if t.number != live.number), live]

    reconcile(linux, linux.identity, routes, observed)
    target = linux.path(live.number)
    assignment = cgroups.add_assignment(target, f"run-{os.getpid()}", cgroups.current())
    start = Start(
        place.request.command,
        assignment,
        place.user,
        resolvers.private(live),
        place.signals.newly_blocked,
        place.lock,
    )
    attending = cgroups.attend(target)
    early = place.signals.read()
    try:
        child = launch(start)
    except BaseException:
        os.close(attending)
        with contextlib.suppress(ProcrouteError, OSError):
            cgroups.remove_tree(assignment)
        raise
    return Started(child, assignment, attending, early)


def _finish(linux: Linux, number: int, started: Started, pause: Pause, tell: Tell) -> None:
    """Remove what nobody uses any more."""
    target = started.assignment.parent
    with lock(pause):
        cgroups.remove_tree(started.assignment)
    if not cgroups.populated(target):
        linger(linux.identity, [number], pause)
    with lock(pause):
        os.close(started.attending)
        # Without the target the number may be another route's by now: cleanup --force removed what was ours.
        if target.exists() and not cgroups.in_use(target):
            end(linux.identity, [number], tell)
        _settle(linux)


def _settle(linux: Linux) -> None:
    """What living routes need, and nothing else."""
    now = reconcile(linux, linux.identity)
    if cgroups.identities(linux.mount, linux.namespace) <= {linux.identity}:
        sysctl.restore_all(linux.namespace, but=now.ours.valid_mark)
    release_directory()
