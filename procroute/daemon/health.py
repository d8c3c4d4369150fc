"""Health checks of adapters: made in the loop, each in its own time; one that hangs costs no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from msgspec import Struct

from procroute.checks import Check, Checked
from procroute.core.health import AdapterFound, CheckFound, Health, heard, overall, pause, paused
from procroute.daemon.checked import Ready
from procroute.daemon.works import Works
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import health_file
from procroute.kernel.probes import Path, Prober
from procroute.model import Family, IPAddress

_AGAIN = 30.0
"""In seconds: when to try again what was refused, news or not."""


class _Asked(Struct, frozen=True):
    """One check of one adapter in one family."""

    adapter: str
    check: Check
    family: Family

    @property
    def words(self) -> str:
        return self.check.words(self.family)


class _Now:
    """What is known of it, and how it is made."""

    def __init__(self, health: Health) -> None:
        self.health = health
        self.to: IPAddress | None = None
        self.path: Path | None = None
        self.task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            self.task = None


class Checking:
    """ready: how adapters can be checked now. changed: takes each adapter that is another than before, after
    everybody can read it (health_file.py).

    In the loop's thread.
    """

    def __init__(
        self,
        ready: Callable[[Mapping[str, Checked]], Awaitable[Mapping[str, Ready]]],
        changed: Callable[[AdapterFound], None],
        tell: Tell,
    ) -> None:
        self._ready = ready
        self._changed = changed
        self._tell = tell
        self._works = Works(tell, "a health check has ended")
        self._loop = asyncio.get_running_loop()
        self._prober = Prober()
        self._wanted: Mapping[str, Checked] = {}
        self._ifindexes: dict[str, int] = {}
        self._asked: dict[_Asked, _Now] = {}
        self._adapters: dict[str, Health] = {}
        self._before: dict[tuple[int, str], Health] = {}
        self._one = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._due = False
        self._unwritten = ""

    async def want(self, wanted: Mapping[str, Checked]) -> None:
        """Have these checks made from now on. Those that are made already go on."""
        if not self._wanted and not self._asked:
            self._before = _remembered(health_file.read(of_the_dead=True))
        self._wanted = {name: of_it for name, of_it in wanted.items() if of_it.checks}
        await self._look()
        self._write()

    def look(self) -> None:
        """Adapters may be others: go on with those that are there now."""
        if self._wanted and not self._due:
            self._due = True
            self._works.begin(self._look())

    def close(self) -> None:
        """Make none any more. What was found dead is left for the next start."""
        self._works.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._wanted = {}  # news that come yet start nothing
        for now in self._asked.values():
            now.stop()
        self._prober.close()
        if not any(health.state == "down" for health in self._adapters.values()):
            self._adapters.clear()
            self._write()

    async def _look(self) -> None:
        async with self._one:
            self._due = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if not self._wanted and not self._asked:
                return
            wanted = self._wanted
            try:
                ready = await self._ready(wanted)
            except (ProcrouteError, OSError) as e:
                ready = {name: Ready(self._ifindexes.get(name, 0), why=str(e)) for name in wanted}
            if wanted is not self._wanted:
                return  # others are wanted by now, and looked at next
            if any(r.path is None and r.ifindex for r in ready.values()):
                self._timer = self._loop.call_later(_AGAIN, self.look)
            self._arrange(ready)

    def _arrange(self, ready: Mapping[str, Ready]) -> None:
        """Start, stop and go on as adapters are now."""
        for name, ifindex in self._ifindexes.items():
            if name not in ready or ready[name].ifindex != ifindex:
                self._drop(a for a in list(self._asked) if a.adapter == name)
                self._adapters.pop(name, None)
        self._ifindexes = {name: each.ifindex for name, each in ready.items()}
        wanted = {
            _Asked(name, check, family): None
            for name, of_it in self._wanted.items()
            for check in of_it.checks
            for family in check.families
        }
        self._drop(asked for asked in list(self._asked) if asked not in wanted)
        # In the order of the file, as they are shown.
        self._asked = {asked: self._asked.get(asked) or self._new(asked) for asked in wanted}
        for asked, now in self._asked.items():
            self._aim(asked, now, ready[asked.adapter])
        for name in self._wanted:
            self._judge(name)

    def _new(self, asked: _Asked) -> _Now:
        before = self._before.pop((self._ifindexes[asked.adapter], asked.words), None)
        return _Now(before or Health(since=time.time()))

    def _drop(self, some: Iterable[_Asked]) -> None:
        for asked in some:
            self._asked.pop(asked).stop()

    def _aim(self, asked: _Asked, now: _Now, ready: Ready) -> None:
        """Have it made by the way that there is, or not while there is none."""
        why = ready.why or ready.missing.get(asked.family, "")
        gateway = ready.gateways.get(asked.family)
        to = asked.check.address or gateway
        if not why and asked.family not in ready.gateways:
            why = f"the kernel has no {asked.family.title}"
        elif not why and to is None:
            why = f"{asked.adapter} needs no {asked.family.title} gateway: name an address"
        elif not why and to in ready.own:
            why = f"{to} is an address of this machine: nothing would leave"
        if why:
            now.stop()
            now.health = paused(now.health, why, time.time())
            return
        now.to, now.path = to, ready.path
        if now.task is None:
            now.task = self._loop.create_task(self._go_on(asked, now))
            now.task.add_done_callback(self._ended)

    async def _go_on(self, asked: _Asked, now: _Now) -> None:
        pace, what, number = asked.check.pace, asked.words, 0
        seed = f"{asked.adapter} {what}"
        due = self._loop.time()
        while True:
            due += pause(pace, seed, number)
            number += 1
            await asyncio.sleep(due - self._loop.time())
            due = max(due, self._loop.time() - pace.interval)  # after a pause of the machine: go on from now
            assert now.to is not None
            assert now.path is not None
            try:
                async with asyncio.timeout(pace.timeout):
                    failure = await self._prober.probe(asked.check, now.to, now.path)
            except TimeoutError:
                failure = f"no answer in {pace.timeout:g} s"
            before, now.health = now.health, heard(pace, now.health, what, failure, time.time())
            if before.state != now.health.state:
                self._judge(asked.adapter, always=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (wrong := task.exception()) is not None:
            self._tell(f"a health check has ended: {wrong!r}")

    def _judge(self, name: str, *, always: bool = False) -> None:
        """Tell what an adapter is now, if that is new. always: write it down even if not."""
        found = [now.health for asked, now in self._asked.items() if asked.adapter == name]
        before = self._adapters.get(name) or self._before.pop((self._ifindexes[name], ""), Health())
        now = overall(self._wanted[name].need, found, before, time.time())
        self._adapters[name] = now
        if always or now != before:
            self._write()
        if now.state != before.state:
            self._changed(self._view(name))

    def _view(self, name: str) -> AdapterFound:
        health = self._adapters[name]
        checks = tuple(
            CheckFound(asked.words, now.health.state, now.health.since, now.health.reason)
            for asked, now in self._asked.items()
            if asked.adapter == name
        )
        return AdapterFound(name, self._ifindexes[name], health.state, health.since, health.reason, checks)

    def _write(self) -> None:
        try:
            health_file.write([self._view(name) for name in self._adapters if self._ifindexes.get(name)])
        except OSError as e:
            if str(e) != self._unwritten:
                self._tell(f"the health of adapters could not be written down: {e}")
            self._unwritten = str(e)


def _remembered(found: Iterable[AdapterFound]) -> dict[tuple[int, str], Health]:
    """What an earlier daemon had found dead, by ifindex and check in words; the adapter's own: no words."""
    before = {}
    for adapter in found:
        if adapter.state == "down":
            before[adapter.ifindex, ""] = Health("down", adapter.since, adapter.reason)
        for check in adapter.checks:
            if check.state == "down":
                before[adapter.ifindex, check.what] = Health("down", check.since, check.reason)
    return before
