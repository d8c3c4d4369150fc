"""What undoes a change, and what is said of one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from procroute import protocol
from procroute.protocol import Moved, Options, Wanted
from procroute_tui.model import changes, words
from procroute_tui.model.machine import Machine
from tests.tui.fake_daemon import ASSIGNMENTS, NOW, PROCESSES, assignment


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    made.take(protocol.Watching(assignments=ASSIGNMENTS, processes=PROCESSES))
    return made


def assigned(*assignments: protocol.Assignment) -> protocol.Assigned:
    return protocol.Assigned(assignments=list(assignments), moved=Moved(), dns="followed")


@pytest.mark.promise("VIEW-04")
def test_an_assignment_of_bystanders_is_released(machine: Machine) -> None:
    new = replace(assignment(8, "wan1"), id=8)
    undo = changes.undo(machine, changes.before(machine, [2410]), assigned(new))
    assert undo.requests == (protocol.Release(ids=[8]),)
    assert not undo.lost


@pytest.mark.promise("VIEW-04")
def test_what_was_on_another_route_goes_back_there(machine: Machine) -> None:
    new = replace(assignment(8, "wan2"), id=8)
    undo = changes.undo(machine, changes.before(machine, [2410, 2502]), assigned(new))
    back = protocol.Assign(route=Wanted("lte0", strict=True), pids=[2502])
    assert undo.requests == (protocol.Release(ids=[8]), back)


@pytest.mark.promise("VIEW-04")
def test_what_was_released_is_assigned_again_but_for_the_dead_and_their_heirs(machine: Machine) -> None:
    was = changes.before(machine, [2101, 2160, 2161])
    machine.take(protocol.Processes(at=NOW, now=[replace(machine.processes[2160], began=99999)], gone=[2161]))
    undo = changes.undo(machine, was, protocol.Released(assignments=[ASSIGNMENTS[0]], moved=Moved()))
    assert undo.requests == (protocol.Assign(route=Wanted("wan1"), pids=[2101]),)


@pytest.mark.promise("VIEW-04")
def test_a_route_is_restored_with_all_of_its_options(machine: Machine) -> None:
    options = Options("wan1", gateway4="198.51.100.9", gateway6="fe80::9", dns=[])
    machine.assignments[3] = other = replace(ASSIGNMENTS[0], route="wan1~e81dedbf", options=options)
    was = changes.before(machine, [2101])
    undo = changes.undo(machine, was, protocol.Released(assignments=[other], moved=Moved()))
    wanted = Wanted("wan1", gateway4="198.51.100.9", gateway6="fe80::9", dns=[])
    assert undo.requests == (protocol.Assign(route=wanted, pids=[2101]),)
    assert not undo.lost


@pytest.mark.promise("VIEW-04")
def test_options_that_are_not_told_are_not_guessed(machine: Machine) -> None:
    machine.assignments[3] = other = replace(ASSIGNMENTS[0], options=None)
    was = changes.before(machine, [2101])
    undo = changes.undo(machine, was, protocol.Released(assignments=[other], moved=Moved()))
    assert undo.requests == ()
    assert undo.lost == "wan1: its options are not for you to see"


def test_an_answer_is_told_in_full() -> None:
    reply = protocol.Assigned(
        assignments=[ASSIGNMENTS[0]],
        moved=Moved(follow=2, remain=7, left={"shared with a process outside": 1}),
        dns="followed: asked at 198.51.100.53",
        notes=["wan1 has no IPv6 address"],
    )
    assert list(words.changed(reply)) == [
        "%3 is on wan1: firefox (pid 2101) and 2 more",
        "open sockets: 2 follow, 7 go on as they are",
        "left as they are: 1 shared with a process outside",
        "look-ups: followed: asked at 198.51.100.53",
        "wan1 has no IPv6 address",
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (9950, "10 kB"),
        (3210, "3.2 kB"),
        (120e6, "120 MB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes_have_three_digits(number: float, text: str) -> None:
    assert words.size(number) == text


def test_bars_are_as_high_as_the_highest() -> None:
    assert words.bars([0, 1, 4, 8], 6) == "  ▁▁▄█"
    assert words.bars([0.0] * 9, 3) == "▁▁▁"
