"""The programs at the root: sockets carry their user's mark, whatever cgroup they are made in."""

from __future__ import annotations

import errno
import functools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from procroute.core.owners import Owned
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import faults, owners
from procroute.lab import namespaces
from tests.netns.asking import TCP, mark_of_new, mark_when_bound, mark_when_listening
from tests.netns.by_hand import BOUND_MARK, MARKING, Target
from tests.netns.by_user import take_off
from tests.netns.probe import MPTCP
from tests.netns.test_bpf_mark import KINDS
from tests.netns.traffic import both_families, own_address

pytestmark = pytest.mark.promise("RULE-70")
IDENTITY: Final = Identity()
ALICE, BOB = 1000, 1001
NUMBER: Final = IDENTITY.number(MARKING.mark)
HERS: Final = Owned(ALICE, NUMBER)
OTHER: Final = Owned(BOB, NUMBER + 1, alone=True, strict=True)


@pytest.fixture
def root(target: Target) -> Iterator[Path]:
    """Of the tree of cgroups; afterwards nobody is told."""
    path = target.lab.path("/sys/fs/cgroup")
    yield path
    put(target, path)


def put(target: Target, root: Path, *told: Owned) -> None:
    """Tell the programs, as an engine in that machine does."""
    target.bystander(owners.put, root, IDENTITY, frozenset(told))


def by(target: Target, user: int, function: Callable[..., Any], *arguments: Any, real: int = -1) -> Any:
    """What a function returns in a process of the machine. user, real: its effective and its real uid."""
    return target.bystander(_as_user, user, user if real < 0 else real, function, *arguments)


def _as_user(user: int, real: int, function: Callable[..., Any], *arguments: Any) -> Any:
    os.setgroups([])
    os.setreuid(real, user)
    return function(*arguments)


@pytest.mark.parametrize("kind", [k for k in KINDS if k[1] != 3])
def test_every_kind_of_socket_is_marked_at_birth(
    target: Target, root: Path, kind: tuple[int, int, int]
) -> None:
    assert by(target, ALICE, mark_of_new, *kind) == 0
    put(target, root, HERS)
    assert by(target, ALICE, mark_of_new, *kind) == MARKING.mark
    for bystander in (0, BOB):
        assert by(target, bystander, mark_of_new, *kind) == 0
    assert target.bystander(owners.read, root, IDENTITY) == {HERS}
    put(target, root)
    assert by(target, ALICE, mark_of_new, *kind) == 0


def test_the_effective_user_counts_and_of_some_the_real_one_too(target: Target, root: Path) -> None:
    put(target, root, HERS, Owned(BOB, NUMBER, alone=True))
    asked = functools.partial(by, target)
    assert asked(ALICE, mark_of_new, 4, TCP, real=0) == MARKING.mark
    assert asked(0, mark_of_new, 4, TCP, real=ALICE) == 0  # a program of hers that is setuid
    assert asked(BOB, mark_of_new, 4, TCP) == MARKING.mark
    assert asked(BOB, mark_of_new, 4, TCP, real=0) == 0


def test_a_nearer_target_wins(target: Target, root: Path) -> None:
    put(target, root, Owned(ALICE, NUMBER + 1))
    target.attach()
    assert target.routed(mark_of_new, 4, TCP, uid=ALICE) == MARKING.mark


def test_another_network_namespace_is_left_alone(target: Target, root: Path) -> None:
    def elsewhere(user: int, function: Callable[..., Any], *arguments: Any) -> Any:
        namespaces.unshare(namespaces.NEWNET)
        return _as_user(user, user, function, *arguments)

    put(target, root, HERS)
    assert by(target, ALICE, mark_of_new, 4, TCP) == MARKING.mark
    assert target.bystander(elsewhere, ALICE, mark_of_new, 4, TCP) == 0
    assert target.bystander(elsewhere, 0, _marked_by_hand, MARKING.mark) == MARKING.mark


def _marked_by_hand(mark: int) -> int:
    """What a listening socket carries that somebody has marked himself, as he may in a namespace of his."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        sock.listen()
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)


@both_families
def test_mptcp_is_refused_as_not_supported(target: Target, root: Path, family: int) -> None:
    put(target, root, HERS)
    assert by(target, BOB, mark_of_new, family, TCP, MPTCP) == 0
    with pytest.raises(OSError, match=os.strerror(errno.EPROTONOSUPPORT)):
        by(target, ALICE, mark_of_new, family, TCP, MPTCP)


@both_families
def test_an_address_and_listening_tie_but_on_a_strict_route(target: Target, root: Path, family: int) -> None:
    address = own_address(target.lab.wan2, family)
    put(target, root, HERS, Owned(BOB, NUMBER + 1, strict=True))
    assert by(target, ALICE, mark_when_bound, family, address) == BOUND_MARK
    assert by(target, ALICE, mark_when_listening, family) == BOUND_MARK
    strict = IDENTITY.mark(NUMBER + 1)
    assert by(target, BOB, mark_when_bound, family, address) == strict
    assert by(target, BOB, mark_when_listening, family) == strict
    assert by(target, 0, mark_when_bound, family, address) == 0
    assert by(target, 0, mark_when_listening, family) == 0


def test_what_is_told_changes_and_what_is_broken_is_made_whole(target: Target, root: Path) -> None:
    put(target, root, HERS)
    put(target, root, OTHER)
    assert by(target, ALICE, mark_of_new, 4, TCP) == 0
    assert by(target, BOB, mark_of_new, 4, TCP) == IDENTITY.mark(NUMBER + 1)
    take_off(target.lab, "pr_own_create")
    assert target.bystander(owners.read, root, IDENTITY) is None
    assert by(target, BOB, mark_of_new, 4, TCP) == 0
    put(target, root, HERS)
    assert target.bystander(owners.read, root, IDENTITY) == {HERS}
    assert by(target, ALICE, mark_of_new, 4, TCP) == MARKING.mark
    assert by(target, ALICE, mark_when_listening, 4) == BOUND_MARK


@pytest.mark.promise("RULE-71")
def test_a_call_that_fails_at_any_time_leaves_what_can_be_put_right(target: Target, root: Path) -> None:
    for before, now in (((), (HERS,)), ((HERS,), (OTHER,)), ((HERS,), ())):
        refused = 0
        for at in range(200):
            put(target, root, *before)
            failed = target.bystander(_put_failing, at, root, frozenset(now))
            found = target.bystander(owners.read, root, IDENTITY)
            if failed:
                refused += 1
                assert found in ({*before}, {*now}, {*before, *now}, set(), None)
                put(target, root, *now)
                found = target.bystander(owners.read, root, IDENTITY)
            assert found == {*now}
            if not failed:
                break
        assert refused > 4


def _put_failing(at: int, root: Path, told: frozenset[Owned]) -> bool:
    """Whether the call of that number was made, and so refused."""

    class Hook:
        calls = 0

        def due(self, _call: str, _about: object) -> int:
            self.calls += 1
            return errno.ENOMEM if self.calls == at + 1 else 0

        def done(self, _call: str, _about: object) -> None:
            pass

    hook = Hook()
    faults.hook(hook)
    try:
        owners.put(root, IDENTITY, told)
    except ProcrouteError:
        return True
    return hook.calls > at
