"""What is told of one process is surely of that one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from procroute.config import Settings
from procroute.core.access import Peer
from procroute.daemon import looking, subjects
from procroute.engine import inspect
from procroute.errors import ProcrouteError
from procroute.kernel.process_facts import facts
from procroute.protocol import Inspect, Inspected, Running

promise = pytest.mark.promise


@promise("FEED-09")
def test_one_that_ends_meanwhile_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may have been another's while it was looked at."""
    with subprocess.Popen(["sleep", "60"]) as child:
        who = facts(child.pid)
        assert who

        def sockets(*_: Any) -> Iterator[Any]:
            child.kill()
            child.wait()
            return iter(())

        monkeypatch.setattr(inspect, "_running", lambda *_: Running(child.pid, who.began))
        monkeypatch.setattr(inspect, "_sockets", sockets)
        with pytest.raises(ProcrouteError, match="has ended"):
            inspect.inspect(SimpleNamespace(), who, {})  # type: ignore[arg-type]


@promise("FEED-09")
def test_one_that_becomes_anothers_meanwhile_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        who = facts(child.pid)
        assert who
        uids = iter([(1000, 1000, 1000), (1000, 0, 0)])
        monkeypatch.setattr(subjects, "facts", lambda _: replace(who, uids=next(uids)))
        monkeypatch.setattr(looking, "inspect", lambda *_: Inspected(Running(child.pid, who.began)))
        ours = looking.Looking(Settings())
        monkeypatch.setattr(ours, "linux", lambda: None)
        with pytest.raises(ProcrouteError, match="not yours alone"):
            ours.inspect(Peer(1000, 7), Inspect(pid=child.pid), {})
        child.kill()
