"""procrouted: puts the parts together, and ends them in order.

One loop speaks with clients; one thread changes the kernel for them (writer.py); another keeps the kernel as
it should be (keeper.py); a third looks for who asks or watches (looking.py, feed.py). So no client waits for
another's slowness, and no repair for a client.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from procroute import config, protocol
from procroute.core.access import Peer
from procroute.core.health import AdapterFound
from procroute.daemon.alone import alone
from procroute.daemon.answering import Answering
from procroute.daemon.feed import Feed
from procroute.daemon.following_tunnels import FollowingTunnels
from procroute.daemon.health import Checking
from procroute.daemon.keeper import Keeper
from procroute.daemon.log import log
from procroute.daemon.looking import Looking, health_facts
from procroute.daemon.misconfigured import refuse
from procroute.daemon.processes import Processes
from procroute.daemon.rule_requests import RuleRequests
from procroute.daemon.rules import Rules
from procroute.daemon.server import Server
from procroute.daemon.tidying import Tidying
from procroute.daemon.traffic import Traffic
from procroute.daemon.watched import Watched
from procroute.daemon.works import Works
from procroute.daemon.writer import Writer
from procroute.engine.words import Tell
from procroute.errors import Exit, ProcrouteError
from procroute.kernel import service_manager
from procroute.terminal import printable
from procroute.told import ERROR, NOTICE, WARNING, told
from procroute.user_names import user_name

_T = TypeVar("_T")
SWITCH: Final = 0.0005
"""After so many seconds a thread makes room for one that is back from a system call; Python has 0.005. A look
makes thousands of these, and a repair must not wait each time for who computes."""


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status. Raises ProcrouteError where it cannot start."""
    if arguments:
        raise ProcrouteError("usage", f"unexpected: {' '.join(arguments)}", "procrouted takes no arguments")
    if os.geteuid() != 0:
        raise ProcrouteError("not-root", "the daemon must be started by root", "sudo procroute daemon")
    try:
        settings = config.read()
    except ProcrouteError as e:
        if not service_manager.gives_sockets():
            raise
        log(told("\n".join(e.lines), ERROR))
        asyncio.run(refuse(e, log))
        return Exit.FAILED
    sys.setswitchinterval(SWITCH)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a client each, and a route each
    with alone():
        asyncio.run(_live(settings))
    return 0


async def _live(settings: config.Settings) -> None:
    await Daemon(settings, log).live()


class Daemon:
    """Everything that lives as long as the daemon does. In the loop's thread, but for what says otherwise."""

    def __init__(self, settings: config.Settings, tell: Tell) -> None:
        self._settings = settings
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "writer")
        self._looker = ThreadPoolExecutor(1, "looker")
        self._works = Works(tell)
        self._watched = Watched(tell, lambda keys: self._works.begin(self._tidying.ended(keys)))
        self._looking_at = Looking(settings)
        traffic = Traffic(self._looking_at.linux, tell)
        self._feed = Feed(Processes(), traffic, self._looker, tell)
        self._server = Server(self._answer, user_name, tell, feed=self._feed)
        self._keeper = Keeper(settings, self._say, tell)
        self._writer = Writer(settings, tell, self._say, self._watched.watch)
        self._tidying = Tidying(self._writer, self._do, self._works, tell)
        self._rules = Rules(self._writer.ruling, self._do, self._looker, self._said, tell)
        self._checking = Checking(
            lambda wanted: self._do(lambda: self._writer.checked.ready(wanted)), self._health_changed, tell
        )
        self._tunnels = FollowingTunnels(self._writer.tunnels, self._do, self._tidying.soon, tell)
        of_rules = RuleRequests(self._rules, self._writer.ruling, self._writer.drafts, self._do, self._looker)
        self._answering = Answering(
            self._writer,
            of_rules,
            self._looking_at,
            lambda: self._feed.assignments,
            self._reread,
            self._do,
            self._looker,
            tell,
        )
        self._manager = service_manager.ServiceManager()

    async def live(self) -> None:
        """From the first look to the last."""
        over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, over.set)
        self._loop.add_signal_handler(signal.SIGHUP, lambda: self._works.begin(self._reload()))
        self._keeper.start()
        try:
            adopted = await self._do(self._writer.adopt)
            self._feed.know(self._writer.known())
            self._watched.start()
            if (left := self._writer.leavers.fileno()) is not None:
                self._loop.add_reader(left, self._on_left)
            for doubt in await self._do(lambda: self._writer.doubts(self._settings)):
                self._tell(doubt)
            await self._rules.start()
            await self._tunnels.start()
            await self._server.start()
            self._works.begin(self._checking.want(self._writer.checks))
            self._tidying.soon()
            self._tell(told(f"ready; {_assignments(adopted)} adopted" if adopted else "ready"))
            self._manager.ready()
            self._works.begin(self._show_that_it_lives())
            await over.wait()
        finally:
            await self._end()

    async def _show_that_it_lives(self) -> None:
        """To systemd's watchdog: the loop goes round, and the writer comes to what it is asked for."""
        while (pause := self._manager.pause) is not None:
            await self._do(self._manager.alive)
            await asyncio.sleep(pause)

    async def _end(self) -> None:
        self._manager.stopping()
        await self._server.stop()
        self._rules.close()
        self._checking.close()
        self._tunnels.close()
        self._watched.stop()
        if (left := self._writer.leavers.fileno()) is not None:
            self._loop.remove_reader(left)
        self._tidying.close()
        self._works.cancel()
        self._keeper.stop()
        stay = await self._do(self._writer.stop)
        self._thread.shutdown()
        self._feed.close()
        self._looker.submit(self._looking_at.close)
        self._looker.shutdown()
        self._watched.close()
        goes_on = "stay on their routes" if stay > 1 else "stays on its route"
        more = f"; {_assignments(stay)} {goes_on}, which nobody keeps in step until the next start"
        self._tell(told("ended" + (more if stay else "")))

    async def _do(self, work: Callable[[], _T]) -> _T:
        return await self._loop.run_in_executor(self._thread, work)

    async def _answer(self, who: Peer, request: protocol.Request) -> protocol.Reply:
        try:
            return await self._answering.answer(who, request)
        finally:
            self._tidying.soon()

    async def _reread(self) -> list[str]:
        """Take the configuration as it is now; what is to be said of it, which the log has, too.

        Raises ProcrouteError and OSError; then the old one holds.
        """
        notes = await self._do(lambda: [*self._writer.reread(), *self._server.regroup()])
        notes += [*await self._rules.reload(), *await self._tunnels.reload()]
        await self._checking.want(self._writer.checks)
        # Who looks by himself looks by what was read again.
        self._looking_at.settings = self._writer.settings
        self._keeper.take(self._writer.settings)
        self._keeper.nudge()
        for line in (told("the configuration was read again"), *notes):
            self._tell(line)
        return notes

    async def _reload(self) -> None:
        """As by `procroute reload`; what is wrong with the file is told."""
        self._manager.reloading()
        try:
            await self._reread()
        except ProcrouteError as e:
            lines = "\n".join(e.lines)
            self._tell(f"the configuration stays as it was: {lines}")
        except OSError as e:
            self._tell(f"the configuration stays as it was: {e}")
        finally:
            self._manager.ready()

    def _say(self, event: protocol.Event) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._said, event)

    def _said(self, event: protocol.Event) -> None:
        self._server.say(event)
        self._feed.heard(event)
        if isinstance(event, protocol.AdaptersChanged):
            self._works.begin(self._do(self._writer.fill))
            self._rules.adapters_changed()
            self._checking.look()
            self._tunnels.look()
        elif isinstance(event, protocol.Switched):
            self._works.begin(self._do(lambda: self._writer.switched(event)))
            self._tunnels.look()

    def _health_changed(self, found: AdapterFound) -> None:
        why = f": {found.reason}" if found.reason else ""
        level = WARNING if found.state == "down" else NOTICE
        line = printable(f"the health of adapter {found.name} is {found.state}{why}")
        self._tell(told(line, level, adapter=found.name))
        self._said(protocol.HealthChanged(at=found.since, adapter=found.name, health=health_facts(found)))
        self._keeper.nudge()

    def _on_left(self) -> None:
        if self._writer.leavers.hear():
            self._works.begin(self._do(self._writer.leavers.judge))


def _assignments(number: int) -> str:
    return f"{number} assignment{'s' if number > 1 else ''}"
