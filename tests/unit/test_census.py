"""The census: facts and news of processes in, what differs out."""

from __future__ import annotations

from msgspec.structs import replace

from procroute.core.access import Peer
from procroute.core.census import Census, Difference, Life, Living, pieces, told
from procroute.protocol import REPLY_LIMIT, Processes, frame

ROOT, ALICE, BOB = Peer(0, 1), Peer(1000, 2), Peer(1001, 3)


def living(pid: int, began: int = 5, parent: int = 1, uid: int = 1000, cgroup: str = "/a.scope") -> Living:
    return Living(pid, began, parent, (uid, uid, uid), f"n{pid}", [f"n{pid}", "word"], cgroup)


def census(*people: Living) -> Census:
    found = Census(lambda cgroup: cgroup, units=True)
    found.look_anew(people)
    return found


def work(of: Census, lives: list[Life], there: dict[int, Living]) -> tuple[list[int], list[int]]:
    """The PIDs that are told as now and as gone."""
    of.hear(lives)
    return pids(of.take({pid: there.get(pid) for pid in of.due()}))


def pids(difference: Difference) -> tuple[list[int], list[int]]:
    now, gone = told(difference, ROOT, hidden=False)
    return [running.pid for running in now], gone


def test_what_is_born_and_what_has_ended_is_told_once() -> None:
    of = census(living(1), living(7))
    assert work(of, [Life(8, 9)], {8: living(8, 9)}) == ([8], [])
    assert work(of, [Life(8, 9, ended=True)], {}) == ([], [8])
    assert work(of, [Life(8, 9, ended=True)], {}) == ([], [])
    assert [seen.running.pid for seen in of.people] == [1, 7]


def test_what_lived_for_a_moment_only_was_never_there() -> None:
    """It is not even looked at."""
    of = census(living(1))
    of.hear([Life(8, 9), Life(8, 9), Life(8, 9, ended=True)])
    assert of.due() == []
    assert not of.take({})
    of.hear([Life(8, 9)])
    assert not of.take({8: None})


def test_an_end_is_believed_while_proc_still_shows_it() -> None:
    of = census(living(1), living(7))
    assert work(of, [Life(7, 5, ended=True)], {7: living(7)}) == ([], [7])


def test_a_number_that_is_anothers_by_now() -> None:
    of = census(living(1), living(7, 5))
    assert work(of, [Life(7, 5, ended=True), Life(7, 6)], {7: living(7, 6)}) == ([7], [])
    (_, seen) = of.people
    assert seen.running.began == 6
    assert work(of, [Life(7, 5, ended=True)], {7: living(7, 6)}) == ([], [])


def test_news_that_change_nothing_tell_nothing() -> None:
    of = census(living(1), living(7))
    assert work(of, [Life(7, 5)], {7: living(7)}) == ([], [])
    other = replace(living(7), name="other")
    assert work(of, [Life(7, 5)], {7: other}) == ([7], [])


def test_children_of_who_has_ended_get_another_parent() -> None:
    of = census(living(1), living(7), living(8, parent=7))
    assert work(of, [Life(7, 5, ended=True)], {8: living(8, parent=1)}) == ([8], [7])
    assert not of.restless


def test_a_parent_that_takes_long_to_end_is_asked_for_again() -> None:
    of = census(living(1), living(7), living(8, parent=7))
    assert work(of, [Life(7, 5, ended=True)], {8: living(8, parent=7)}) == ([], [7])
    assert of.restless
    assert work(of, [], {8: living(8, parent=1)}) == ([8], [])
    assert not of.restless


def test_children_whose_parent_is_found_to_have_ended_are_looked_at() -> None:
    of = census(living(1), living(7), living(8, parent=7))
    assert work(of, [Life(7, 5)], {}) == ([], [7])
    assert of.due() == [8]


def test_looked_at_anew_only_what_differs_is_told() -> None:
    of = census(living(1), living(7), living(8))
    assert pids(of.look_anew([living(1), living(8, 6), living(9)])) == ([8, 9], [7])


def test_assignments_are_those_of_the_cgroup_and_above() -> None:
    of = census(living(1, cgroup="/"), living(7, cgroup="/r/a"), living(8, cgroup="/r/a/b"))
    assert pids(of.assign({"/r/a": 3})) == ([7, 8], [])
    assert {s.running.pid: s.running.assignment for s in of.people} == {1: 0, 7: 3, 8: 3}
    assert work(of, [Life(1, 5)], {1: living(1, cgroup="/r/a")}) == ([1], [])
    assert pids(of.assign({})) == ([1, 7, 8], [])


def test_the_unit_is_the_innermost() -> None:
    of = census(living(7, cgroup="/user.slice/user@1000.service/app.slice/app-x.scope/inner"))
    assert [s.running.unit for s in of.people] == ["app-x.scope"]
    without = Census(lambda cgroup: cgroup, units=False)
    without.look_anew([living(7)])
    assert [s.running.unit for s in without.people] == [""]


def test_others_are_told_without_command_line() -> None:
    difference = census().look_anew([living(7)])
    for peer, words in ((ROOT, ["n7", "word"]), (ALICE, ["n7", "word"]), (BOB, [])):
        ((running,), gone) = told(difference, peer, hidden=False)
        assert (running.command, running.name, gone) == (words, "n7", [])


def test_what_became_partly_anothers_is_not_theirs() -> None:
    suid = replace(living(7), uids=(1000, 0, 0))
    ((running,), _) = told(census().look_anew([suid]), ALICE, hidden=False)
    assert not running.command


def test_where_they_are_hidden_users_are_told_of_their_own_only() -> None:
    of = census()
    difference = of.look_anew([living(7), living(8, uid=1001)])
    assert [r.pid for r in told(difference, BOB, hidden=True)[0]] == [8]
    assert [r.pid for r in told(difference, ROOT, hidden=True)[0]] == [7, 8]
    changed = of.look_anew([living(7), living(8, uid=1000)])
    assert told(changed, BOB, hidden=True) == ([], [8])
    assert [r.pid for r in told(changed, ALICE, hidden=True)[0]] == [8]
    ended = of.look_anew([])
    assert told(ended, BOB, hidden=True) == ([], [])
    assert told(ended, ALICE, hidden=True)[1] == [7, 8]


def test_so_many_are_told_at_once_as_fit_into_a_frame() -> None:
    """Whatever they are called: a letter may take six bytes."""
    word = "\x01" * 4096
    everybody = [replace(living(pid), command=[word]) for pid in range(1, 4000)]
    (people, _) = told(census().look_anew(everybody), ROOT, hidden=False)
    found = list(pieces(people))
    assert [one for piece in found for one in piece] == people
    assert 1 < len(found) < 20
    for piece in found:
        assert len(frame(Processes(at=0, now=piece))) < REPLY_LIMIT
    assert list(pieces([])) == [[]]
    assert len(list(pieces(people[:100]))) == 1


def test_a_change_that_somebody_cannot_see_is_not_told_to_him() -> None:
    of = census(living(7))
    difference = of.look_anew([replace(living(7), command=["other"])])
    assert told(difference, BOB, hidden=False) == ([], [])
    assert told(difference, ALICE, hidden=False)[0]
