"""What becomes of a socket when its process changes its route, and whose a process is; without a kernel."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from msgspec.structs import replace

from procroute.core.gathering import Kin, alike, belonging, own_stacks
from procroute.core.moving import (
    ADAPTER,
    ADDRESS,
    FOREIGN,
    LISTENING,
    OTHER,
    SERVERS,
    SHARED,
    Fate,
    Ground,
    OpenSocket,
    Ports,
    Verdict,
    assigned,
    moved,
    new_mark,
    released,
    twins,
)
from procroute.engine import gather, membership
from procroute.identity import Identity
from procroute.kernel import cgroup_mount, cgroups, pinned
from procroute.kernel.pinned import Known
from procroute.protocol import Moved

promise = pytest.mark.promise
IDENTITY = Identity()
ANY = {4: ip_address("0.0.0.0"), 6: ip_address("::")}
FAR = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}
OWN = {4: ip_address("198.51.100.2"), 6: ip_address("2001:db8:1::2")}
OTHERS = {4: ip_address("203.0.113.2"), 6: ip_address("2001:db8:2::2")}
LOOPBACK = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}
GROUND = Ground(
    IDENTITY,
    1,
    own=frozenset(OWN.values()),
    here=frozenset((*OWN.values(), *OTHERS.values())),
    ports=Ports(32768, 60999, frozenset({50000})),
)
RESET = replace(GROUND, existing="reset")
families = pytest.mark.parametrize("family", [4, 6])


@promise("MOVE-02", "MOVE-03", "MOVE-04")
@families
def test_what_becomes_of_each_kind(family: int) -> None:
    udp = OpenSocket("udp", ANY[family], 40000)
    tcp = OpenSocket("tcp", ANY[family])
    mine, other, far = OWN[family], OTHERS[family], FAR[family]
    for one, keep, reset in [
        (udp, Fate.FOLLOW, Fate.FOLLOW),
        (tcp, Fate.FOLLOW, Fate.FOLLOW),
        (replace(udp, local=mine), Fate.FOLLOW, Fate.FOLLOW),
        (replace(tcp, remote=far), Fate.REMAIN, Fate.RESET),
        (replace(udp, remote=far), Fate.REMAIN, Fate.RESET),
        (replace(udp, remote=far, shared=True), Fate.REMAIN, SHARED),
        (replace(udp, shared=True), SHARED, SHARED),
        (replace(udp, local=other), ADDRESS, ADDRESS),
        (replace(udp, ifindex=3), ADAPTER, ADAPTER),
        (replace(udp, local_port=53), SERVERS, SERVERS),
        (replace(udp, local_port=50000), SERVERS, SERVERS),
        (replace(udp, reuse=True), SERVERS, SERVERS),
        (replace(tcp, listening=True), LISTENING, LISTENING),
        (replace(udp, kind="other"), OTHER, OTHER),
        (replace(udp, foreign=True), FOREIGN, FOREIGN),
        (replace(tcp, remote=LOOPBACK[family]), Fate.PASS, Fate.PASS),
        (replace(tcp, remote=other), Fate.PASS, Fate.PASS),
        (replace(udp, local=LOOPBACK[family]), Fate.PASS, Fate.PASS),
        (replace(tcp, remote=far, mark=IDENTITY.mark(1)), Fate.PASS, Fate.PASS),
        (replace(tcp, remote=far, mark=IDENTITY.mark(2)), Fate.REMAIN, Fate.RESET),
        (replace(udp, mark=IDENTITY.released), Fate.FOLLOW, Fate.FOLLOW),
    ]:
        for ground, expected in ((GROUND, keep), (RESET, reset)):
            verdict = assigned(one, ground)
            assert expected in (verdict.fate, verdict.reason), one
    assert assigned(replace(udp, local_port=53), replace(GROUND, servers=True)).fate is Fate.FOLLOW
    same = replace(GROUND, twins=twins([udp, replace(tcp, local_port=40000, listening=True)]))
    assert assigned(udp, same).reason == SERVERS


@promise("MOVE-09")
@families
def test_only_what_is_on_the_route_is_let_go(family: int) -> None:
    on_route = OpenSocket("udp", ANY[family], 40000, mark=IDENTITY.mark(1))
    tied = replace(on_route, mark=IDENTITY.mark(1) | IDENTITY.bound, kind="tcp", listening=True)
    assert released(on_route, GROUND).fate is Fate.FOLLOW
    assert released(tied, GROUND).fate is Fate.FOLLOW
    assert released(replace(on_route, shared=True), GROUND).reason == SHARED
    assert released(replace(on_route, remote=FAR[family]), GROUND).fate is Fate.REMAIN
    assert released(replace(on_route, remote=FAR[family]), RESET).fate is Fate.RESET
    assert released(replace(on_route, remote=LOOPBACK[family]), RESET).fate is Fate.CLEAR
    assert released(replace(on_route, mark=IDENTITY.mark(2)), RESET).fate is Fate.PASS
    assert released(replace(on_route, mark=0), RESET).fate is Fate.PASS


@families
def test_marks(family: int) -> None:
    def mark(
        one: OpenSocket, ground: Ground = GROUND, *, leaving: bool = False, plain: bool = False
    ) -> int | None:
        verdict = (released if leaving else assigned)(one, ground)
        return new_mark(one, verdict, ground, leaving=leaving, plain=plain)

    udp = OpenSocket("udp", ANY[family], 40000)
    connected = replace(udp, remote=FAR[family])
    assert mark(udp) == IDENTITY.mark(1)
    assert mark(replace(udp, local=OWN[family])) == IDENTITY.mark(1) | IDENTITY.bound
    assert mark(connected) is None
    assert mark(connected, RESET) == IDENTITY.mark(1)  # it may be connected once more
    assert mark(replace(connected, made_here=True)) == IDENTITY.released  # or the guard would end it
    on_route = replace(udp, mark=IDENTITY.mark(1))
    assert mark(on_route, leaving=True) == IDENTITY.released
    assert mark(on_route, leaving=True, plain=True) == 0
    spared = replace(connected, mark=IDENTITY.released)
    assert mark(spared, leaving=True) is None
    assert mark(spared, leaving=True, plain=True) == 0
    assert mark(replace(spared, mark=0), leaving=True, plain=True) is None


@promise("MOVE-12")
@families
def test_what_nft_marks_the_packets_of_is_known_by_its_cgroup(family: int) -> None:
    on, two = IDENTITY.mark(1), replace(GROUND, number=2)
    udp = OpenSocket("udp", ANY[family], 40000, given=on)
    tcp = OpenSocket("tcp", OWN[family], 40000, FAR[family], given=on)
    assert assigned(udp, GROUND).fate is assigned(tcp, GROUND).fate is Fate.PASS
    assert released(udp, GROUND).fate is Fate.FOLLOW
    assert released(udp, two).fate is Fate.PASS
    assert assigned(udp, two).fate is Fate.FOLLOW
    for one, verdict, ground, leaving, mark in [
        (udp, released(udp, GROUND), GROUND, True, IDENTITY.released),
        (tcp, released(tcp, RESET), RESET, True, IDENTITY.released),
        (udp, assigned(udp, two), two, False, IDENTITY.mark(2)),
        # What stays on the route says so itself from now on.
        (tcp, released(tcp, GROUND), GROUND, True, on),
        (tcp, assigned(tcp, two), two, False, on),
        # It has its own mark already: whatever it was made in, nft passes it by.
        (replace(udp, mark=IDENTITY.mark(2)), Verdict(Fate.REMAIN), two, False, None),
        (replace(udp, mark=IDENTITY.released), Verdict(Fate.REMAIN), two, False, None),
    ]:
        assert new_mark(one, verdict, ground, leaving=leaving, plain=False) == mark
    assert released(replace(udp, mark=IDENTITY.released), GROUND).fate is Fate.PASS


def test_the_count_of_all() -> None:
    udp = OpenSocket("udp", ANY[4], 40000)
    all_of = [udp, udp, replace(udp, remote=FAR[4]), replace(udp, local_port=53)]
    assert moved(assigned(one, GROUND) for one in all_of) == Moved(2, 1, 0, {SERVERS: 1})


@promise("MOVE-06")
def test_orphans_are_known_by_what_they_have_inherited() -> None:
    root = Kin(parent=50, group=100, session=60, stack=7)
    members, reapers = {100: root, 110: Kin(100, 100, 60, 7)}, {1, 50}
    newcomers = {
        201: Kin(100, 100, 60, 9),  # a child
        202: Kin(201, 202, 202, 9),  # its child
        203: Kin(1, 203, 203, 7),  # an orphan that has executed nothing
        204: Kin(1, 100, 60, 9),  # one of the group
        205: Kin(50, 205, 110, 9),  # one of a session that a member began
        206: Kin(1, 206, 206, 9),  # somebody's
        207: Kin(70, 100, 60, 7),  # somebody's child
    }
    assert belonging(newcomers, {100}, members, reapers) == {201, 202, 203, 204, 205}
    like = [Kin(60, 100, 60, 7)]
    assert belonging(newcomers, {100}, members, reapers, like) == {201, 202, 205}
    assert alike([newcomers[207]], members)
    assert not alike([newcomers[206]], members)


@promise("MOVE-06")
def test_a_stack_is_ones_own_unless_it_was_inherited() -> None:
    shell = Kin(1, 50, 50, 5)
    executed, forked, adopted = Kin(50, 100, 50, 7), Kin(50, 101, 50, 5), Kin(1, 102, 102, 8)
    assert own_stacks([(executed, shell), (forked, shell), (adopted, Kin(0, 1, 1, 1))]) == {7}


@promise("MOVE-07")
def test_who_has_got_the_number_of_another_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[tuple[Path, int]] = []
    monkeypatch.setattr(cgroups, "enter", lambda path, pid: entered.append((path, pid)))
    with_number = pinned.kin(1)
    assert with_number
    before = Known(1, with_number[0].began + 1)
    assert not membership.enter(Path("/assignment"), before)
    assert not entered


@promise("MOVE-07")
def test_of_who_was_seen_to_descend_only_those_move_who_still_do(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = {100: 50, 101: 100, 102: 1, 103: 102}  # 102 is another's by now; 104 has ended
    monkeypatch.setattr(
        gather, "kin", lambda pid: (Known(pid, 5), Kin(parents[pid], 1, 1)) if pid in parents else None
    )
    monkeypatch.setattr(gather, "enter", lambda path, one: True)
    mount = cgroup_mount.CgroupMount(Path("/cgroups"))
    monkeypatch.setattr(cgroup_mount, "find", lambda: mount)
    gathering = gather._Gathering(Path("/assignment"), None, {Path("/origin"): [50, *parents, 104]})
    gathering._members[50] = Kin(1, 50, 50)
    gathering.begin_with([100, 101, 102, 103, 104])
    assert gathering.moved == {Known(100, 5), Known(101, 5)}


@promise("MOVE-07")
def test_who_gets_it_in_just_that_moment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[tuple[Path, int]] = []
    monkeypatch.setattr(cgroups, "enter", lambda path, pid: entered.append((path, pid)))
    known = pinned.kin(1)
    assert known
    monkeypatch.setattr(membership, "lives", lambda _: False)
    monkeypatch.setattr(membership, "kin", lambda pid: (Known(1, 5), Kin(2, 1, 1)))
    monkeypatch.setattr(cgroup_mount, "of_process", lambda pid: "/its/parents")
    mount = cgroup_mount.CgroupMount(Path("/cgroups"))
    monkeypatch.setattr(cgroup_mount, "find", lambda: mount)
    assert not membership.enter(Path("/assignment"), known[0])
    assert entered == [(Path("/assignment"), 1), (Path("/cgroups/its/parents"), 1)]
