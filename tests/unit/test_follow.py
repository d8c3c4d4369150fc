"""The follower: looks when news have paused, repairs what is missing, asks silent gateways again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from procroute.core.machine import Machine
from procroute.core.plan import AddEntry, AddRule
from procroute.engine import follow
from procroute.engine import lock as locking
from procroute.engine.follow import Follower
from procroute.engine.reconcile import reconcile
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.fake import Fake, When
from procroute.kernel.witness import Witness
from procroute.model import Family, IPAddress, LiveRoute, Route
from tests.plans import words

IDENTITY = Identity()
SILENT = frozenset({(2, ip_address("198.51.100.1"))})


class News:
    """In place of kernel.monitor.Monitor: tells of news as often as it is told to."""

    def __init__(self, protocol: int, witness: Witness | None) -> None:
        self.protocol = protocol
        self.witness = witness
        self.waiting = 0
        self.failed: set[tuple[int, IPAddress]] = set()
        self.error: OSError | None = None

    def drain(self) -> bool:
        """Whether there were news."""
        if self.error is not None:
            raise self.error
        self.waiting, came = max(0, self.waiting - 1), self.waiting > 0
        return came

    def close(self) -> None:
        """Nothing to do."""


class Scene:
    """A follower of a route by wan1, with a clock that stands still until it is moved."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = 100.0
        self.said: list[str] = []
        self.locked = 0
        self.kernel = Fake(machine(), IDENTITY)
        reconcile(self.kernel, IDENTITY, lambda _: [LiveRoute(Route("wan1"), 1)])
        self.kernel.populated = {1}
        self.kernel.steps.clear()
        self.follower = Follower(self.kernel, self.said.append, clock=lambda: self.now)
        self.follower.route = 1

    @property
    def news(self) -> News:
        """Where news come from."""
        return cast("News", self.follower.monitor)

    def later(self, seconds: float, news: int = 0) -> None:
        """Time passes, then it works; news: how many of them came."""
        self.news.waiting = news
        self.now += seconds
        self.follower.work()

    @property
    def defaults(self) -> set[Family]:
        """The families in which the route has a default."""
        return {e.family for e in self.kernel.entries if e.table == 7301 and e.destination.prefixlen == 0}


def machine(**settings: Any) -> Machine:
    """A machine with an uplink whose gateways are in main."""
    wan1 = words.adapter("wan1", 2, "198.51.100.2/24", "2001:db8:1::2/64")
    main = ["0.0.0.0/0 via 198.51.100.1 dev wan1", "::/0 via 2001:db8:1::1 dev wan1"]
    return words.machine(wan1, main=main, **settings)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scene:
    monkeypatch.setattr(follow, "Monitor", News)
    found = Scene(tmp_path / "run")
    monkeypatch.setattr(locking, "RUN_DIRECTORY", str(found.directory))

    @contextmanager
    def lock(pause: locking.Pause) -> Iterator[None]:
        found.locked += 1
        with locking.lock(pause):
            yield

    monkeypatch.setattr(follow, "lock", lock)
    return found


def test_without_news_there_is_nothing_to_do(scene: Scene) -> None:
    scene.kernel.rules.clear()
    scene.later(3600)
    assert scene.follower.timeout() is None
    assert scene.kernel.steps == []


@pytest.mark.promise("DOWN-06")
def test_news_are_looked_into_when_they_pause(scene: Scene) -> None:
    scene.kernel.rules.clear()
    scene.later(0, news=1)
    assert scene.kernel.steps == []
    assert scene.follower.timeout() == 16
    scene.later(0.016)
    assert len(scene.kernel.rules) > 0
    assert scene.follower.timeout() is None
    assert scene.locked == 1


@pytest.mark.promise("DOWN-06")
def test_news_that_do_not_pause_are_looked_into_all_the_same(scene: Scene) -> None:
    scene.kernel.rules.clear()
    for _ in range(9):
        scene.later(0.01, news=1)
    assert len(scene.kernel.rules) > 0


def test_a_lock_that_another_has_is_not_waited_for(scene: Scene) -> None:
    scene.kernel.rules.clear()
    with locking.lock():
        scene.later(0, news=1)
        scene.later(0.1)
        assert scene.kernel.rules == []
        assert scene.follower.timeout() == 16
        for milliseconds in (31, 61, 121, 241, 251, 251):
            scene.later((scene.follower.timeout() or 0) / 1000)
            assert scene.follower.timeout() == milliseconds
    scene.later(0.251)
    assert len(scene.kernel.rules) > 0
    assert scene.said == []


def test_a_lock_that_another_has_for_minutes_is_no_end(scene: Scene) -> None:
    scene.kernel.rules.clear()
    with locking.lock():
        scene.later(0, news=1)
        for _ in range(2000):
            scene.later(0.3)
    assert scene.kernel.rules == []
    assert scene.follower.timeout() == 251
    scene.later(0.3)
    assert len(scene.kernel.rules) > 0
    assert scene.said == []


def test_errors_that_alternate_are_said_once_each(scene: Scene) -> None:
    turn = iter(range(1000))

    def refuse(step: object, when: When) -> None:
        raise ProcrouteError("kernel-refused", f"refused for reason {next(turn) // 20 % 3}")

    scene.kernel.rules.clear()
    scene.kernel.fault = refuse
    scene.later(0, news=1)
    for _ in range(9):
        scene.later(100)
    assert len(scene.said) == len(set(scene.said)) == 3


def test_what_the_system_refuses_is_no_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    scene.kernel.rules.clear()
    monkeypatch.setattr(follow, "release_directory", full)
    scene.later(0, news=1)
    scene.later(0.1)
    assert scene.said == ["the route could not be kept in step: [Errno 28] No space left on device"]
    assert scene.follower.timeout() == 251


def test_a_socket_that_cannot_be_read_is_no_end(scene: Scene) -> None:
    """What it would have told of is looked for."""
    scene.kernel.rules.clear()
    scene.news.error = OSError(errno.ENOMEM, "Cannot allocate memory")
    scene.later(0)
    scene.later(0.1)
    assert len(scene.kernel.rules) > 0
    assert scene.said[0] == "the route could not be kept in step: [Errno 12] Cannot allocate memory"


@pytest.mark.promise("DOWN-05")
def test_a_gateway_that_is_heard_to_fail_is_remembered(scene: Scene) -> None:
    scene.news.failed |= SILENT
    scene.later(0, news=1)
    assert scene.kernel.heard_failing == SILENT
    assert scene.news.failed == set()


def test_news_that_change_nothing_take_no_lock(scene: Scene) -> None:
    scene.later(0, news=1)
    scene.later(0.1)
    assert scene.locked == 0
    assert scene.said == []


@pytest.mark.promise("DOWN-05", "DOWN-06")
def test_a_silent_gateway_is_asked_again_until_it_answers(scene: Scene) -> None:
    scene.kernel.become(machine(failed_gateways=SILENT))
    scene.later(0, news=1)
    scene.later(0.1)
    assert scene.defaults == {Family.IPV6}
    assert scene.kernel.asked == [*SILENT]
    for count in (2, 3):
        assert scene.follower.timeout() == 701
        scene.later(0.701)
        assert len(scene.kernel.asked) == count
    scene.kernel.become(machine())
    scene.later(0.7)
    assert scene.defaults == {Family.IPV4, Family.IPV6}
    scene.later(10)
    assert len(scene.kernel.asked) == 3
    assert scene.follower.timeout() is None


def test_only_gateways_of_its_own_route_are_asked_for(scene: Scene) -> None:
    scene.follower.route = 9
    scene.kernel.become(machine(failed_gateways=SILENT))
    scene.later(0, news=1)
    scene.later(0.1)
    assert scene.kernel.asked == []


def ways_out(scene: Scene) -> set[int]:
    """The ifindexes that the route's defaults lead to."""
    of_route = (e for e in scene.kernel.entries if e.table == 7301 and e.destination.prefixlen == 0)
    return {hop.ifindex for e in of_route for hop in e.hops}


def called(*names: str, first: int = 2) -> Machine:
    """A machine with uplinks of these names, counted from an ifindex."""
    uplinks = [
        words.adapter(name, first + n, f"198.51.{100 + n}.2/24", f"2001:db8:{1 + n}::2/64")
        for n, name in enumerate(names)
    ]
    main = [
        line
        for n, name in enumerate(names)
        for line in (
            f"0.0.0.0/0 via 198.51.{100 + n}.1 dev {name}",
            f"::/0 via 2001:db8:{1 + n}::1 dev {name}",
        )
    ]
    return words.machine(*uplinks, main=main)


def become(scene: Scene, machine: Machine) -> None:
    """The machine changes, and the follower hears of it."""
    scene.kernel.become(machine)
    scene.later(0, news=1)
    scene.later(0.1)
    assert scene.said == []


@pytest.mark.promise("FOLLOW-07")
def test_an_adapter_that_is_renamed_stays_the_routes(scene: Scene) -> None:
    become(scene, called("fibre"))
    assert ways_out(scene) == {2}
    become(scene, called("wan2", "wan1"))  # swapped
    assert ways_out(scene) == {2}
    become(scene, called("wan1", "wan2"))
    assert ways_out(scene) == {2}


@pytest.mark.promise("FOLLOW-08")
def test_once_it_is_gone_another_of_that_name_is(scene: Scene) -> None:
    become(scene, called("wan2", first=3))
    assert ways_out(scene) == set()
    become(scene, called("wan1", first=7))
    assert ways_out(scene) == {7}
    become(scene, called("fibre", first=7))
    assert ways_out(scene) == {7}


@pytest.mark.promise("DOWN-01", "DOWN-06")
def test_an_adapter_that_goes_and_comes_back(scene: Scene) -> None:
    scene.kernel.link_down("wan1")
    scene.later(0, news=1)
    scene.later(0.1)
    assert scene.defaults == set()
    scene.kernel.become(replace(machine(), main=machine().main[:2]))
    scene.later(0, news=1)
    scene.later(0.1)
    assert scene.defaults == {Family.IPV4, Family.IPV6}


def refuse_all(step: object, when: When) -> None:
    raise ProcrouteError("kernel-refused", "the kernel refused to add it")


@pytest.mark.promise("TRUE-07")
def test_what_cannot_be_kept_in_step_is_said_once_and_tried_again(scene: Scene) -> None:
    scene.kernel.rules.clear()
    scene.kernel.fault = refuse_all
    scene.later(0, news=1)
    scene.later(0.1)
    for milliseconds in (251, 501, 1001, 2001, 4001):
        assert scene.follower.timeout() == milliseconds
        scene.later(milliseconds / 1000)
    for _ in range(10):
        scene.later(100)
    assert scene.follower.timeout() == 60_001
    wrong = "the route could not be kept in step: the kernel refused to add it; missing: 14 ip rules"
    assert scene.said == [wrong]
    scene.kernel.fault = None
    scene.later(61)
    assert len(scene.kernel.rules) > 0
    assert scene.said == [wrong, "it is as it should be again"]
    assert scene.follower.timeout() is None


@pytest.mark.promise("TRUE-07")
def test_news_make_it_try_at_once(scene: Scene) -> None:
    scene.kernel.rules.clear()
    scene.kernel.fault = refuse_all
    scene.later(0, news=1)
    for _ in range(12):
        scene.later(100)
    scene.kernel.fault = None
    scene.later(0, news=1)
    scene.later(0.016)
    assert len(scene.kernel.rules) > 0


@pytest.mark.promise("TRUE-07")
@pytest.mark.parametrize("code", ["kernel-option", "library-missing", "not-root"])
def test_what_cannot_succeed_is_not_tried_again(scene: Scene, code: str) -> None:
    def refuse(step: object, when: When) -> None:
        raise ProcrouteError(code, "this kernel cannot")

    scene.kernel.rules.clear()
    scene.kernel.fault = refuse
    scene.later(0, news=1)
    scene.later(0.1)
    assert scene.follower.timeout() is None
    assert len(scene.said) == 1
    scene.kernel.fault = None
    scene.later(0, news=1)
    scene.later(0.1)
    assert len(scene.kernel.rules) > 0


@pytest.mark.promise("TRUE-07")
def test_a_step_that_is_refused_holds_up_no_other(scene: Scene) -> None:
    whole = len(scene.kernel.rules)

    def refuse(step: object, when: When) -> None:
        if isinstance(step, AddEntry) or (isinstance(step, AddRule) and step.rule.action == "unreachable"):
            raise ProcrouteError("kernel-refused", "the kernel refused to add it")

    scene.kernel.rules.clear()
    scene.kernel.tables.entries = []
    scene.kernel.fault = refuse
    scene.later(0, news=1)
    scene.later(0.1)
    assert len(scene.kernel.rules) == whole - 2
    (said,) = scene.said
    assert "entries of our tables, 2 ip rules" in said


@pytest.mark.promise("CLI-15")
def test_routes_that_nobody_uses_are_not_brought_back(scene: Scene) -> None:
    scene.kernel.populated = set()
    scene.later(0, news=1)
    scene.later(0.1)
    assert scene.kernel.rules == []
    assert scene.kernel.targets == {}
    assert not scene.directory.exists()
