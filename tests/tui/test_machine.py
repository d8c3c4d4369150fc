"""What is kept of what the daemon says: processes, assignments, rates, happenings."""

from __future__ import annotations

import pytest

from procroute import protocol
from procroute.protocol import Carried, Process, Sockets
from procroute_tui.model.machine import Machine
from procroute_tui.model.rates import Rates
from tests.tui.fake_daemon import ASSIGNMENTS, NOW, PROCESSES, assignment, running, traffic


def machine() -> Machine:
    made = Machine()
    made.take(protocol.Watching(assignments=ASSIGNMENTS, processes=PROCESSES))
    return made


def test_an_assignment_shows_its_numbers_at_its_oldest_process() -> None:
    known = machine()
    known.take(traffic(NOW, 1))
    known.take(traffic(NOW + 1, 2))
    assert known.leader(3) == 2101
    rate = known.rate_of(2101)
    assert rate is not None
    assert rate.received > 0
    assert known.rate_of(2160) is None
    known.take(protocol.Processes(at=NOW, gone=[2101]))
    assert known.leader(3) == 2160


def test_an_assignment_that_comes_takes_its_processes_and_gives_them_back() -> None:
    known = machine()
    new = protocol.Assignment(
        9, "lte0", "lte0", "assign", 1000, 1000, "/x", processes=[Process(2410), Process(2161)]
    )
    changes = known.take(protocol.Added(at=NOW, assignment=new))
    assert changes.pids == {2410, 2161}
    assert (known.using("lte0"), known.using("wan1"), known.routed()) == (3, 4, 7)
    changes = known.take(protocol.Removed(at=NOW, assignment=new, why="released"))
    assert changes.pids == {2410, 2161}
    assert known.assignment_of(2161) is None
    assert (known.using("lte0"), known.routed()) == (1, 5)


def test_who_leaves_is_a_bystander() -> None:
    known = machine()
    known.take(
        protocol.Left(at=NOW, assignment=ASSIGNMENTS[0], process=Process(2160, "Web Content"), cgroup="/else")
    )
    assert known.processes[2160].assignment == 0
    (happening,) = known.happenings
    assert "Web Content (pid 2160) left for /else" in happening.text
    assert known.recent(2160) == [happening]
    assert known.recent(2101) == [happening]


def test_watching_begins_anew() -> None:
    known = machine()
    changes = known.take(protocol.Watching(assignments=[], processes=[running(1, 0, "init")]))
    assert changes.everything
    assert (list(known.processes), known.routed()) == ([1], 0)


def test_only_sockets_that_are_others_are_changes() -> None:
    known = machine()
    counted = [assignment(3, "wan1")]
    both = [protocol.Assignment(3, "wan1", "wan1", "run", 0, 0, "/x", sockets=Sockets(2, 1)), *counted]
    assert known.take_sockets(both).pids == {2101, 2160, 2161}
    assert known.take_sockets(both).pids == set()


@pytest.mark.parametrize(
    ("later", "seconds", "rate"),
    [
        pytest.param(3000, 2.0, 1000.0, id="two seconds"),
        pytest.param(500, 1.0, 0.0, id="totals that went back"),
        pytest.param(3000, 0.0, 0.0, id="no time"),
    ],
)
def test_rates_are_of_two_totals(later: int, seconds: float, rate: float) -> None:
    rates = Rates()
    rates.take(protocol.Traffic(at=NOW, adapters=[Carried("wan1", received=1000)]))
    assert not rates.history
    rates.take(protocol.Traffic(at=NOW + seconds, adapters=[Carried("wan1", received=later)]))
    assert rates.adapters["wan1"].received == rate
    assert len(rates.history["wan1"]) == 1
    rates.take(protocol.Traffic(at=NOW + 9, adapters=[]))
    assert not rates.history
