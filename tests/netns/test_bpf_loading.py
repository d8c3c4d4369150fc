"""Attaching the programs, reading them back, changing what they are told, beside programs of others."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import select
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest

from procroute.core.door import Door
from procroute.errors import ProcrouteError
from procroute.kernel import libbpf, programs
from procroute.kernel.bpf import objects
from procroute.kernel.bpf.catalogue import PROGRAMS, UNIX_CONNECT, object_path
from tests.netns.asking import UDP, ask, mark_when_listening, opened
from tests.netns.by_hand import BOUND_MARK, MARKING, STRICT, Target, in_child
from tests.netns.test_bpf_lookups import RESOLVERS, SERVERS4, SERVERS6
from tests.netns.traffic import SERVER, own_address

ALLOW_MULTI = 2


class Foreign:
    """A program of somebody else: two instructions, `return 1`."""

    KINDS = {"egress": (8, 1), "sock_create": (9, 2), "sock_ops": (13, 3)}  # noqa: RUF012

    def __init__(self, kind: str) -> None:
        program_type, self.hook = self.KINDS[kind]
        code = struct.pack("=BBhi", 0xB7, 0, 0, 1) + struct.pack("=BBhi", 0x95, 0, 0, 0)
        load = ctypes.CDLL("libbpf.so.1").bpf_prog_load
        self.fd = load(program_type, b"pr_egress" if kind == "egress" else b"other", b"GPL", code, 2, None)
        assert self.fd >= 0, os.strerror(-self.fd)
        self.id = libbpf.program_info(self.fd).id

    def attach(self, cgroup: str, flags: int) -> None:
        with _directory(cgroup) as directory:
            result = ctypes.CDLL("libbpf.so.1").bpf_prog_attach(self.fd, directory, self.hook, flags)
        assert result == 0, os.strerror(-result)

    def is_on(self, cgroup: str) -> bool:
        with _directory(cgroup) as directory:
            return self.id in libbpf.query(directory, self.hook)


def hooks(cgroup: str) -> dict[int, tuple[int, ...]]:
    """Every program on a cgroup, by hook."""
    numbers = (*range(4), 8, 9, 10, 11, 14, 15, 19, 20, 29, 30)
    closed = (UNIX_CONNECT,) if programs.can_close_helpers(cgroup) else ()
    with _directory(cgroup) as directory:
        return {hook: libbpf.query(directory, hook) for hook in (*numbers, *closed)}


@contextlib.contextmanager
def _directory(path: str) -> Iterator[int]:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield directory
    finally:
        os.close(directory)


def test_what_is_attached_is_read_back(target: Target) -> None:
    assert programs.attached(target.path) is None
    wan2 = target.lab.wan2
    door = Door(
        adapters=frozenset({target.wan1, 77, 78, 79}),
        lan=frozenset(
            {
                (IPv4Network("10.0.0.0/8"), target.wan2),
                (IPv4Network("10.0.0.0/8"), target.wan1),
                (IPv4Network("0.0.0.0/0"), 3),
                (IPv4Network("10.3.0.1/32"), 0),
                (IPv6Network("fd00::/8"), 0),
                (IPv6Network("::/0"), 4),
            }
        ),
        dns_servers=SERVERS6 + SERVERS4,
        resolvers=(*RESOLVERS, SERVERS4[1]),
        addresses=frozenset({(ip_address(own_address(wan2, 4)), target.wan2), (ip_address("fd00::9"), 9)}),
        inbound=True,
    )
    programs.attach(target.path, MARKING, door)
    assert target.attached() == programs.Attached(MARKING, door, complete=True, kinds=programs.KINDS)
    # Another process, another door; the programs for look-ups and for inbound go and come back.
    for other in (
        target.door(),
        Door(frozenset({78}), door.lan, SERVERS4[:1], (RESOLVERS[1],), door.addresses),
        door,
    ):
        in_child(functools.partial(programs.update, target.path, other))
        found = target.attached()
        assert (found.door, found.complete) == (other, True)
    in_child(functools.partial(programs.detach, target.path))
    assert programs.attached(target.path) is None


def test_attaching_again_updates_and_never_doubles(target: Target) -> None:
    target.attach()
    before = hooks(target.path)
    wider = target.door(adapters=frozenset({target.wan1, target.wan2}))
    programs.attach(target.path, MARKING, wider)
    assert target.attached().door == wider
    assert hooks(target.path) == before
    with pytest.raises(ProcrouteError) as refused:
        target.attach(STRICT)
    assert refused.value.code == "bpf-attached"
    assert hooks(target.path) == before


def test_programs_of_others_stay(target: Target) -> None:
    others = [Foreign(kind) for kind in Foreign.KINDS]
    for other in others:
        other.attach(target.path, ALLOW_MULTI)
    before = hooks(target.path)
    target.attach(dns_servers=SERVERS4, resolvers=RESOLVERS)
    target.update()
    assert all(other.is_on(target.path) for other in others)
    assert target.routed(mark_when_listening, 4) == BOUND_MARK
    target.detach()
    assert hooks(target.path) == before


def test_below_a_program_that_allows_others(target: Target) -> None:
    Foreign("egress").attach(target.above, ALLOW_MULTI)
    target.attach()
    assert target.routed(ask, 4, UDP, SERVER[4])[0] == "wan1"


@pytest.mark.parametrize("kind", Foreign.KINDS)
def test_below_a_program_that_allows_no_others(target: Target, kind: str) -> None:
    Foreign(kind).attach(target.above, 0)
    with pytest.raises(ProcrouteError) as refused:
        target.attach(dns_servers=SERVERS4, resolvers=RESOLVERS)
    assert refused.value.code == "bpf-exclusive"
    assert kind in str(refused.value)
    assert programs.attached(target.path) is None
    assert not any(hooks(target.path).values())


@pytest.mark.parametrize(
    "kinds",
    [
        {"guard"},
        {"replies"},
        {"dns"},
        {"helpers"},
        {"inbound"},
        {"attempt"},
        {"mark", "bound"},
        {"listen", "guard"},
    ],
    ids=lambda kinds: "+".join(sorted(kinds)),
)
def test_what_a_crash_left_is_completed(target: Target, kinds: set[str]) -> None:
    target.attach(dns_servers=SERVERS4, resolvers=RESOLVERS, inbound=True)
    lacks = set() if programs.can_close_helpers(target.path) else {"helpers"}
    target.detach(*kinds)
    assert target.attached().kinds == programs.KINDS - kinds - lacks
    target.attach(dns_servers=SERVERS4, resolvers=RESOLVERS, inbound=True)
    assert target.attached().complete
    counted = {hook: len(ids) for hook, ids in hooks(target.path).items()}
    assert counted == Counter(p.hook for p in PROGRAMS if p.kind not in lacks)


def test_no_such_cgroup(target: Target) -> None:
    nowhere = f"{target.path}/nowhere"
    assert programs.attached(nowhere) is None
    programs.detach(nowhere)
    with pytest.raises(ProcrouteError) as error:
        programs.attach(nowhere, MARKING, target.door())
    assert error.value.code == "cgroup-missing"
    with pytest.raises(ProcrouteError) as error:
        programs.update(nowhere, target.door())
    assert error.value.code == "cgroup-missing"
    with pytest.raises(ProcrouteError) as error:
        programs.attach("/run", MARKING, target.door())
    assert error.value.code == "cgroup-version"
    with pytest.raises(ProcrouteError) as error:
        target.update()
    assert error.value.code == "bpf-missing"


def send_many() -> None:
    with opened(4, UDP) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wan2")
        for _ in range(2000):
            sock.sendto(b"?", ("203.0.113.1", 9))


def test_a_legitimate_prefix_is_never_missing_while_the_door_changes(target: Target) -> None:
    stays = (IPv4Network("203.0.113.0/24"), target.wan2)
    doors = [
        target.door(lan=frozenset({stays, *((IPv4Network((i << 8, 24)), 0) for i in range(n))}))
        for n in (0, 40, 7, 60)
    ]
    programs.attach(target.path, MARKING, doors[0])
    stop, end = os.pipe()
    changer = os.fork()
    if changer == 0:
        while not select.select([stop], [], [], 0)[0]:
            for door in doors:
                programs.update(target.path, door)
        os._exit(0)
    try:
        target.routed(send_many)
    finally:
        os.write(end, b"!")
        assert os.waitpid(changer, 0)[1] == 0
        os.close(stop)
        os.close(end)
    assert target.drops() == 0


def test_maps_are_read_whole_by_whichever_way_the_kernel_has(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trie with more than fits into one call."""
    lan = frozenset((IPv4Network((number << 8, 24)), 7) for number in range(1, 400))
    resolvers = tuple(ip_address(0x0A000000 + number) for number in range(1, 60))
    door = Door(frozenset({7}), lan, (ip_address("192.0.2.53"),), resolvers)
    programs.attach(target.path, MARKING, door)
    at_once = programs.attached(target.path)
    assert at_once is not None
    assert at_once.door == door
    monkeypatch.setattr(objects.Map, "_at_once", lambda _: None)
    assert programs.attached(target.path) == at_once


def test_a_hash_is_read_whole_though_it_takes_many_calls() -> None:
    with objects.Object(object_path("left")) as programs_of_it:
        programs_of_it.load()
        members = programs_of_it.map("members", 4, 16)
        wanted = {struct.pack("=I", n): struct.pack("=QQ", n, n) for n in range(1, 5000)}
        for key, value in wanted.items():
            members.set(key, value)
        assert members.items() == wanted
