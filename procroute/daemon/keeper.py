"""Keeps the kernel as it should be, in a thread of its own: on news it looks, and repairs what is missing."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from procroute.config import Settings
from procroute.core.machine import Machine
from procroute.core.route_names import called
from procroute.engine.follow import Follower
from procroute.engine.lock import BusyError
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import nft, records
from procroute.kernel.linux import Linux
from procroute.model import LiveRoute
from procroute.protocol import AdaptersChanged, Event, Switched
from procroute.told import ERROR, told

_PRIORITY: Final = -10
"""Of the thread (setpriority(2); Linux has one each): on a busy machine repairs must not wait either."""
_AT_MOST: Final = 0.004
"""How long to wait, in seconds, before asking again for a lock that others hold."""


class Keeper:
    """told: takes each repair of what others had changed, and that adapters have changed.

    tell: says a line to whoever reads the log.

    Both are called in the keeper's thread.
    """

    def __init__(self, settings: Settings, told: Callable[[Event], None], tell: Tell) -> None:
        self._linux = Linux(settings.identity)
        self.take(settings)
        self._follower = Follower(
            self._linux,
            tell,
            told,
            self._pause,
            seen=self._look_at,
            switched=self._switched,
            called=lambda route: called(route, self._settings.route),
        )
        self._told = told
        self._machine: Machine | None = None
        self._tell = tell
        self._over = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._live, name="keeper", daemon=True)

    def start(self) -> None:
        """Look, and listen from now on; before anything else of this daemon changes routes."""
        linux = self._linux
        there = records.targets(linux.mount, linux.namespace)
        self._follower.remember(target.live for target in there if target.identity == linux.identity)
        self.nudge()
        self._thread.start()

    def stop(self) -> None:
        """Listen no longer; returns when nothing is done any more."""
        self._over = True
        self.nudge()
        self._thread.join()
        self._follower.close()
        self._linux.netlink.close()
        os.close(self._wake)

    def take(self, settings: Settings) -> None:
        """Go by these from the next look on; their identity is that of the start. From any thread."""
        self._settings = settings
        self._linux.tell(given=settings.given_servers)

    def nudge(self) -> None:
        """Look now; from any thread."""
        os.eventfd_write(self._wake, 1)

    def _live(self) -> None:
        with contextlib.suppress(PermissionError):  # a container may not allow it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _PRIORITY)
        nft.load()
        poll = select.poll()
        for descriptor in (self._wake, *self._follower.monitor.filenos()):
            poll.register(descriptor, select.POLLIN)
        while not self._over:
            poll.poll(self._follower.timeout())
            try:
                self._follower.work(at_once=self._nudged())
            except (ProcrouteError, OSError) as e:
                self._tell(f"what was heard could not be looked at: {e}")
            except Exception as e:  # noqa: BLE001 - a fault of ours must not end the keeping
                self._tell(told("".join(traceback.format_exception(e)), ERROR))

    def _look_at(self, machine: Machine) -> None:
        """Tell where adapters or their ways out are other than at the last look."""
        machine = replace(machine, steady=frozenset())  # nothing that anybody is shown
        before, self._machine = self._machine, machine
        if before is not None and before != machine:
            self._told(AdaptersChanged(at=time.time()))

    def _switched(self, live: LiveRoute, why: str) -> None:
        adapter = self._machine.adapter_of(live) if self._machine is not None and not live.by_main else None
        name = "" if adapter is None else adapter.name
        self._told(Switched(at=time.time(), route=live.route.name, adapter=name, why=why))

    def _nudged(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return os.eventfd_read(self._wake) > 0
        return False

    def _pause(self, seconds: float) -> None:
        if self._over:
            raise BusyError
        time.sleep(min(seconds, _AT_MOST))
