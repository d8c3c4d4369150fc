"""`procroute run`, embedded: the engine lives as long as the command, and cleans up after it."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from msgspec import Struct

from procroute.config import Settings
from procroute.core.front_ends import advice
from procroute.core.machine import Observed
from procroute.core.route_names import called
from procroute.core.unit_names import slice_of
from procroute.engine.follow import Follower
from procroute.engine.launch import Launched, Start, launch
from procroute.engine.leaving import Leaving
from procroute.engine.linger import Carried, end, linger
from procroute.engine.lock import Pause, lock, patient
from procroute.engine.opening import decide, open_route, target_for
from procroute.engine.request import Request, named
from procroute.engine.settle import forget_lock, settle, undoing
from procroute.engine.single import Handing
from procroute.engine.supervise import FORWARDED, Supervisor
from procroute.engine.user import User, find
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, descriptors, family, in_place, records, resolvers
from procroute.kernel.linux import Linux
from procroute.kernel.placement import Newcomer
from procroute.kernel.signals import Received, Signals
from procroute.model import LiveRoute, Marks


class Place(Struct, frozen=True):
    """What a command is started with. lock: the descriptor of the lock that is held."""

    request: Request
    user: User | None
    signals: Signals
    lock: int


class Started(Struct, frozen=True):
    """A command in its assignment. attending: what keeps the target in use while its last packets go.

    early: the signals that came before the command was there. made_in: the cgroups that tell its sockets,
    where no mark does. ids: those of the assignment's cgroups.
    """

    child: Launched
    assignment: Path
    attending: int
    early: list[Received]
    made_in: frozenset[int]
    ids: frozenset[int]


def run(request: Request, settings: Settings, tell: Tell) -> int:
    """Run a command by an adapter; returns its exit status, 128+n for signal n.

    tell: says a line to the person at the terminal. Raises ProcrouteError when the command was not started;
    then what was done for it is undone. What goes wrong later is told, and the status stays the command's.
    """
    given = descriptors.given()
    family.adopt_orphans()
    user = find(request.user) if request.user is not None else None
    with contextlib.ExitStack() as stack:
        linux = stack.enter_context(Linux(settings.identity))
        linux.tell(given=settings.given_servers)
        # Listening starts before the first look, so that nothing is missed between that and the command.
        follower = Follower(linux, tell, called=lambda route: called(route, settings.route))
        stack.enter_context(contextlib.closing(follower))
        with lock(patient(tell)) as held:
            # From here on signals are for the command; until here they are for us, and nothing is done yet.
            with undoing(linux, forget_lock):
                signals = stack.enter_context(contextlib.closing(Signals(FORWARDED)))
                observed, live = _decide(linux, request, settings, tell)
            handing = Handing(request, user.uid if user else os.geteuid())
            with undoing(linux):
                started = _start(linux, observed, live, Place(request, user, signals, held), tell)
        # The command is executed without the lock: its file system may take its time, or never answer.
        follower.route = live.number
        child = started.child
        leaving = stack.enter_context(
            contextlib.closing(Leaving(linux.mount, started.assignment, tell, strict=request.strict))
        )
        supervisor = Supervisor(child.pid, started.assignment, signals, follower, tell, given, leaving)
        supervisor.pass_on(started.early)
        status = supervisor.watch()
        failure = child.failure()
        try:
            leaving.finish(supervisor.rest)
            if failure is None:
                handing.look(status, started.assignment, started.ids, tell)
            _finish(linux, live, started, supervisor.rest, tell)
        except (ProcrouteError, OSError) as e:
            tell(f"what is ours could not be removed: {e}; procroute cleanup tries again")
    if failure is not None:
        raise failure
    if supervisor.interrupted:
        # A shell ends its loop only when the job itself dies of the terminal's SIGINT.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return status


def _decide(linux: Linux, request: Request, settings: Settings, tell: Tell) -> tuple[Observed, LiveRoute]:
    """What is there, and the route to use or to make. Nothing is changed yet."""
    observed, live, notes = decide(linux, named(request, settings.route), settings)
    known = advice(request.command, slice_of(live.route.name))
    if known.refuse:
        raise ProcrouteError("command-leaves", known.text, known.hint)
    for note in notes:
        tell(note)
    if known.text:
        tell(known.text)
        tell(f"hint: {known.hint}")
    return observed, live


def _start(linux: Linux, observed: Observed, live: LiveRoute, place: Place, tell: Tell) -> Started:
    now, routes = open_route(linux, observed, live)
    target = target_for(linux, now, live, place.user, routes, tell)
    command = place.request.command
    name, origin = f"run-{os.getpid()}", linux.cgroup_mount.of("self")
    described = f"procroute run: {' '.join(command)}"
    start = Start(
        command,
        lambda pid: linux.placement.place(target, Newcomer(pid, name, described, origin)),
        place.user,
        resolvers.private(live),
        place.signals.newly_blocked,
        place.lock,
        advice(command, target.name).stay,
    )
    attending = cgroups.attend(target)
    early = place.signals.read()
    try:
        child = launch(start)
    except BaseException:
        os.close(attending)
        raise
    ids = cgroups.ids(child.assignment)
    made_in = ids if live.marks is Marks.PACKETS else frozenset()
    return Started(child, child.assignment, attending, early, made_in, ids)


def _finish(linux: Linux, live: LiveRoute, started: Started, pause: Pause, tell: Tell) -> None:
    """Remove what nobody uses any more."""
    target = started.assignment.parent
    carried = Carried([live.number], started.made_in)
    with lock(pause):
        linux.placement.end(started.assignment)
    if not _used(linux, live.number, target):
        linger(linux.identity, carried, pause)
    with lock(pause):
        os.close(started.attending)
        # Without the target the number may be another route's by now: cleanup --force removed what was ours.
        if target.exists() and not cgroups.in_use(target) and not _used(linux, live.number, target):
            end(linux.identity, carried, tell)
        settle(linux)
        _say_who_stays(linux, live.number, tell)


def _used(linux: Linux, number: int, target: Path) -> bool:
    """Whether a process is in this target, or in one of a route's in place, or users' sockets follow it."""
    further = (t for t in linux.further_targets() if in_place.is_in_place(t.path))
    owned = any(t.live.owners for t in records.those_of(linux.namespace, [target]))
    return (
        owned
        or cgroups.populated(target)
        or any(cgroups.populated(t.path) for t in further if t.live.number == number)
    )


def _say_who_stays(linux: Linux, number: int, tell: Tell) -> None:
    """Units that somebody else started in the route's slice, when no engine cares for it any more."""
    own = records.targets(linux.mount, linux.namespace)
    paths = [t.path for t in own if t.identity == linux.identity and t.live.number == number]
    paths += [t.path for t in linux.further_targets() if t.live.number == number]
    some = next(filter(cgroups.populated, paths), None)
    if some is not None and not any(map(cgroups.attended, paths)):
        tell(
            f"others in {some.name} stay on the route as it is now, which nobody keeps in step; when they"
            " have ended, procroute cleanup removes it"
        )
