"""Answers that change nothing: adapters, and one process with its sockets. In a thread of its own."""

from __future__ import annotations

from collections.abc import Mapping

from procroute.config import Settings
from procroute.core.access import Peer
from procroute.core.health import AdapterFound
from procroute.core.overview import AdapterView, Way
from procroute.daemon import subjects
from procroute.engine.inspect import inspect
from procroute.engine.look import adapter_views
from procroute.kernel.linux import Linux
from procroute.protocol import (
    AdapterFacts,
    AdapterList,
    AdapterWay,
    CheckFacts,
    HealthFacts,
    Inspect,
    Inspected,
)


class Looking:
    """Used from one thread. Requests come with who asks. settings: as they are now."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._linux: Linux | None = None

    def linux(self) -> Linux:
        """The kernel as this thread sees it. Raises ProcrouteError."""
        if self._linux is None:
            self._linux = Linux(self.settings.identity)
        return self._linux

    def adapters(self) -> AdapterList:
        """Every adapter, with the routes that use it. Raises ProcrouteError."""
        return AdapterList(adapters=[_facts(view) for view in adapter_views(self.settings)])

    def inspect(self, peer: Peer, asked: Inspect, assignments: Mapping[str, int]) -> Inspected:
        """A process of the asker's, or for root anybody's. assignments: cgroup, from the mount point, to id.

        Raises ProcrouteError.
        """
        who = subjects.shown(peer, asked.pid)
        found = inspect(self.linux(), who, assignments)
        subjects.shown(peer, asked.pid)  # it may have become another's meanwhile
        return found

    def close(self) -> None:
        """The end of it."""
        if self._linux is not None:
            self._linux.netlink.close()


def _facts(view: AdapterView) -> AdapterFacts:
    adapter = view.adapter
    return AdapterFacts(
        name=adapter.name,
        ifindex=adapter.ifindex,
        type=adapter.kind,
        state=view.state,
        addresses=[str(address.interface) for address in adapter.addresses],
        ways={
            "ipv4" if family.value == 4 else "ipv6": _way(way)  # as the protocol calls them
            for family, way in view.ways.items()
        },
        servers=[str(server) for server in view.asked.addresses],
        routes=list(view.routes),
        health=None if view.health is None else health_facts(view.health),
        over=view.over,
    )


def health_facts(found: AdapterFound) -> HealthFacts:
    """As the protocol tells it."""
    checks = [CheckFacts(c.what, c.state, c.since, c.reason) for c in found.checks]
    return HealthFacts(found.state, found.since, found.reason, checks)


def _way(way: Way) -> AdapterWay:
    if way.missing:
        return AdapterWay(usable=False, missing=way.missing)
    return AdapterWay(usable=True, gateway=str(way.gateway or ""), learnt=way.learnt, answers=way.answers)
