"""The mark program: sockets of a target carry the route's number, and a bit when tied to an address."""

from __future__ import annotations

import errno
import functools
import os
import socket

import pytest

from procroute.core.door import Marking
from procroute.kernel import programs
from procroute.kernel.bpf import loading
from tests.netns.asking import TCP, UDP, mark_of_new, mark_when_bound, mark_when_listening
from tests.netns.by_hand import BOUND_MARK, MARKING, Target
from tests.netns.probe import MPTCP
from tests.netns.traffic import both_families, own_address

ICMP, ICMP6 = socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
KINDS = [
    (4, TCP, 0),
    (6, TCP, 0),
    (4, UDP, 0),
    (6, UDP, 0),
    (4, UDP, ICMP),
    (6, UDP, ICMP6),
    (4, socket.SOCK_RAW, ICMP),
    (6, socket.SOCK_RAW, ICMP6),
    (4, socket.SOCK_RAW, 255),
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_socket_is_marked_at_birth(target: Target, kind: tuple[int, int, int]) -> None:
    assert target.routed(mark_of_new, *kind) == 0
    target.attach()
    assert target.routed(mark_of_new, *kind) == MARKING.mark
    assert target.bystander(mark_of_new, *kind) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_with_inbound_udp_alone_is_made_as_if_it_were_bound(
    target: Target, kind: tuple[int, int, int]
) -> None:
    target.attach(inbound=True)
    expected = BOUND_MARK if kind[1:] == (UDP, 0) else MARKING.mark
    assert target.routed(mark_of_new, *kind) == expected


def test_a_nearer_target_wins(target: Target) -> None:
    target.attach()
    nearer = f"{target.path}/run"
    os.mkdir(nearer)
    programs.attach(nearer, Marking(0x0400_0000, MARKING.mask, MARKING.bound, strict=False), target.door())
    assert target.routed(mark_of_new, 4, TCP) == 0x0400_0000


@both_families
def test_mptcp_is_refused_as_not_supported(target: Target, family: int) -> None:
    mptcp = functools.partial(target.routed, mark_of_new, family, TCP, MPTCP)
    assert mptcp() == 0
    target.attach()
    with pytest.raises(OSError, match=os.strerror(errno.EPROTONOSUPPORT)) as refused:
        mptcp()
    assert refused.value.errno == errno.EPROTONOSUPPORT


def test_kernels_without_a_choice_of_error_refuse_with_eperm(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_retval", False)
    target.attach()
    with pytest.raises(PermissionError):
        target.routed(mark_of_new, 4, TCP, MPTCP)


@pytest.mark.parametrize("uid", [0, 65534])
@pytest.mark.parametrize("kind", [UDP, TCP], ids=["udp", "tcp"])
def test_an_address_ties_and_loopback_and_none_do_not(target: Target, kind: int, uid: int) -> None:
    target.attach()
    lab = target.lab
    mapped = f"::ffff:{own_address(lab.wan2, 4)}"
    untied = [(4, "0.0.0.0"), (6, "::"), (4, "127.0.0.1"), (6, "::1"), (6, "::ffff:127.0.0.1")]
    untied += [(6, "::ffff:0.0.0.0")]
    tied = [(4, own_address(lab.wan2, 4)), (6, own_address(lab.wan2, 6)), (6, mapped)]
    tied += [(4, own_address(lab.wan1, 4))]
    for family, address in untied:
        assert target.routed(mark_when_bound, family, address, kind, uid=uid) == MARKING.mark, address
    for family, address in tied:
        assert target.routed(mark_when_bound, family, address, kind, uid=uid) == BOUND_MARK, address


@pytest.mark.parametrize("uid", [0, 65534])
@both_families
def test_listening_ties(target: Target, family: int, uid: int) -> None:
    target.attach()
    assert target.routed(mark_when_listening, family, uid=uid) == BOUND_MARK


def test_a_mechanism_can_be_switched_off(target: Target) -> None:
    address = own_address(target.lab.wan2, 4)
    target.attach()
    target.detach("bound")
    assert target.routed(mark_when_bound, 4, address) == MARKING.mark
    target.detach("listen")
    assert target.routed(mark_when_listening, 4) == MARKING.mark
    target.detach("mark")
    assert target.routed(mark_of_new, 4, TCP) == 0
    found = target.attached()
    assert (found.kinds, found.complete) == (frozenset({"guard", "replies", "attempt"}), False)
    target.attach()
    found = target.attached()
    assert found.complete
    assert found.kinds == programs.KINDS - {"dns", "helpers", "inbound"}
    assert target.routed(mark_when_bound, 4, address) == BOUND_MARK
