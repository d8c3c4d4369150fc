"""The BPF programs of a route on the real kernel: marks, guard, look-ups, and their loader.

Every test runs in a sandbox of its own, made here and gone afterwards: private mount, network and cgroup
namespaces, two routers (isp1, isp2) with the same server behind each, a cgroup of its own. Policy routing is
set up by hand: marked sockets leave by wan1, all others by wan2; bound ones by the adapter of their address.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import inspect
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import pytest

from procroute.core.door import Door, Marking
from procroute.errors import ProcrouteError
from procroute.kernel import libbpf, programs
from procroute.kernel.bpf import loading

MARKING = Marking(mask=0xFF00_0000, bound=0x0100_0000, mark=0x0200_0000, strict=False)
STRICT = Marking(mask=0xFF00_0000, bound=0x0100_0000, mark=0x0200_0000, strict=True)
BOUND_MARK = MARKING.mark | MARKING.bound
ICMP, ICMP6, MPTCP = socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6, 262
V4, V6 = socket.AF_INET, socket.AF_INET6
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
FAMILIES = pytest.mark.parametrize("family", [V4, V6], ids=["v4", "v6"])

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWNET = 0x0002_0000, 0x0200_0000, 0x4000_0000
PATIENCE = 5.0
_libc = ctypes.CDLL(None, use_errno=True)

# The server is the same behind each router; what it answers tells which one was asked.
SERVER = {V4: "198.51.100.1", V6: "2001:db8:100::1"}
OURS = {V4: {"wan1": "10.1.0.2", "wan2": "10.2.0.2"}, V6: {"wan1": "2001:db8:1::2", "wan2": "2001:db8:2::2"}}
ROUTER = {
    V4: {"wan1": "10.1.0.1", "wan2": "10.2.0.1"},
    V6: {"wan1": "2001:db8:1::1", "wan2": "2001:db8:2::1"},
}
OTHER_NAME_SERVER = {V4: "10.1.0.3", V6: "2001:db8:1::3"}
ECHO, DNS = 7, 53
# Python 3.11 names neither: linux/in.h; UDP_SEGMENT of linux/udp.h, with its 16 bits.
IP_PKTINFO = 8
SEGMENTS = (socket.IPPROTO_UDP, 103, struct.pack("=H", 100))
ANY = {V4: "0.0.0.0", V6: "::"}


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int = 0) -> None:
    _call("mount", source.encode(), target.encode(), kind.encode(), flags, None)


def _ip(batch: str, *arguments: str) -> None:
    subprocess.run(["ip", *arguments, "-batch", "-"], input=batch, text=True, check=True, timeout=PATIENCE)


@dataclass(frozen=True)
class Lab:
    """Inside a sandbox. target: the route's cgroup; wan1, wan2: ifindexes."""

    target: str
    wan1: int
    wan2: int

    def door(self, **changes: Any) -> Door:
        return Door(**({"adapters": frozenset({self.wan1})} | changes))

    def attach(self, marking: Marking = MARKING, **changes: Any) -> None:
        programs.attach(self.target, marking, self.door(**changes))

    def drops(self) -> int:
        return programs.drops(self.target).get(self.wan2, 0)

    def routed(self, function: Callable[..., Any], *arguments: Any, uid: int = 0, **options: Any) -> Any:
        """What a function returns or raises in a process of the target."""
        call = functools.partial(function, *arguments, **options)
        return in_child(functools.partial(_in_cgroup, f"{self.target}/run", uid, call))


def _in_cgroup(cgroup: str, uid: int, function: Callable[..., Any], *arguments: Any) -> Any:
    Path(cgroup).mkdir(exist_ok=True)
    Path(cgroup, "cgroup.procs").write_text(str(os.getpid()))
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    return function(*arguments)


def in_child(function: Callable[[], Any], patience: float = 10) -> Any:
    """Run in a child process and hand back the result or the OSError; anything else fails the test."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            answer: tuple[str, Any] = ("value", function())
        except OSError as error:
            if not hasattr(error, "__notes__"):
                error.add_note(traceback.format_exc())
            answer = ("error", error)
        except BaseException:  # noqa: BLE001 - the parent tells it
            answer = ("failure", traceback.format_exc())
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            if not select.select([pipe], [], [], patience)[0]:
                raise TimeoutError("the child does not answer")
            kind, value = pickle.load(pipe)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if kind == "error":
        raise value
    if kind == "failure":
        pytest.fail(value, pytrace=False)
    return value


Body = Callable[..., None]


def sandboxed(body: Body) -> Body:
    """Run a test in a sandbox of its own; it gets a Lab."""

    @functools.wraps(body)
    def test(**arguments: Any) -> None:
        if os.geteuid() != 0:
            pytest.fail("these tests need root: run them by `make test`", pytrace=False)
        in_child(functools.partial(_outer, functools.partial(body, **arguments)), 60)

    # pytest reads the signature: without the lab, which is not a fixture.
    del test.__wrapped__
    parameters = [p for p in inspect.signature(body).parameters.values() if p.name != "lab"]
    test.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return test


def _outer(body: Body) -> None:
    """Mounts cgroup2 where nobody sees it, makes a cgroup there, and removes it whatever happens."""
    _call("unshare", CLONE_NEWNS)
    _mount("none", "/", "none", 0x4000 | 0x40000)  # MS_REC | MS_PRIVATE
    with tempfile.TemporaryDirectory() as mountpoint:
        _mount("cgroup2", mountpoint, "cgroup2")
        top = Path(mountpoint, f"test-bpf-{os.getpid()}-{time.monotonic_ns()}")
        top.mkdir()
        try:
            in_child(functools.partial(_inner, top, body), 45)
        finally:
            _remove(top)
            _call("umount2", mountpoint.encode(), 2)  # MNT_DETACH


def _remove(top: Path) -> None:
    Path(top, "cgroup.kill").write_text("1")
    deadline = time.monotonic() + PATIENCE
    while "populated 1" in Path(top, "cgroup.events").read_text() and time.monotonic() < deadline:
        time.sleep(0.005)
    for directory, _names, _files in os.walk(top, topdown=False):
        os.rmdir(directory)


def _inner(top: Path, body: Body) -> None:
    Path(top, "cgroup.procs").write_text(str(os.getpid()))
    _call("unshare", CLONE_NEWNET | CLONE_NEWCGROUP)
    _mount("tmpfs", "/run", "tmpfs")
    _mount("sysfs", "/sys", "sysfs")
    _mount("cgroup2", "/sys/fs/cgroup", "cgroup2")
    target = "/sys/fs/cgroup/target"
    Path(target).mkdir()
    _network()
    indexes = {name: int(Path(f"/sys/class/net/{name}/ifindex").read_text()) for name in ("wan1", "wan2")}
    body(lab=Lab(target, **indexes))


def _network() -> None:
    _sysctls()
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 65534")
    _ip("netns add isp1\nnetns add isp2\nlink set lo up\n")
    for n in (1, 2):
        in_child(functools.partial(_sysctls, f"isp{n}"))
    for n in (1, 2):
        # Neighbours are given: the first solicitation on a fresh IPv6 link may be lost for a second.
        ours, theirs = f"02:00:00:00:{n:02}:02", f"02:00:00:00:{n:02}:01"
        others = [f"10.{n}.0.1", f"10.{n}.0.3", f"10.{n}.0.9", f"2001:db8:{n}::1", f"2001:db8:{n}::3"]
        _ip(f"""link add wan{n} address {ours} type veth peer name eth address {theirs} netns isp{n}
            address add 10.{n}.0.2/24 dev wan{n}
            address add 2001:db8:{n}::2/64 dev wan{n} nodad
            link set wan{n} up""")
        _ip("\n".join(f"neighbour add {a} lladdr {theirs} nud permanent dev wan{n}" for a in others))
        _ip(
            f"""link set lo up
            address add 10.{n}.0.1/24 dev eth
            address add 10.{n}.0.3/24 dev eth
            address add 10.{n}.0.9/24 dev eth
            address add 2001:db8:{n}::1/64 dev eth nodad
            address add 2001:db8:{n}::3/64 dev eth nodad
            address add 198.51.100.1/32 dev lo
            address add 2001:db8:100::1/128 dev lo nodad
            link set eth up
            neighbour add 10.{n}.0.2 lladdr {ours} nud permanent dev eth
            neighbour add 2001:db8:{n}::2 lladdr {ours} nud permanent dev eth
            route add default via 10.{n}.0.2
            route add default via 2001:db8:{n}::2""",
            "-n",
            f"isp{n}",
        )
    _ip("route add default via 10.2.0.1\nroute add default via 2001:db8:2::1\n")
    for family, option in ((V4, "-4"), (V6, "-6")):
        rules = ["rule add fwmark 0x2000000/0xfe000000 table 101 pref 20"]
        for n in (1, 2):
            ours, router = OURS[family][f"wan{n}"], ROUTER[family][f"wan{n}"]
            rules.append(f"route add default via {router} dev wan{n} table {100 + n}")
            rules.append(f"rule add from {ours} fwmark 0x1000000/0x1000000 table {100 + n} pref {10 + n}")
        _ip("\n".join(rules), option)
    for n in (1, 2):
        _wait_for(f"wan{n}")
        _serve(n)


def _wait_for(interface: str) -> None:
    """Until a fresh link carries packets."""
    deadline = time.monotonic() + PATIENCE
    with socket.socket() as s:
        while time.monotonic() < deadline:
            request = struct.pack("16sH14x", interface.encode(), 0)
            _name, flags = struct.unpack_from("16sH", fcntl.ioctl(s, 0x8913, request))  # SIOCGIFFLAGS
            if flags & 0x40:  # IFF_RUNNING
                return
            time.sleep(0.01)
    raise TimeoutError(f"{interface} does not come up")


def _sysctls(namespace: str = "") -> None:
    if namespace:
        _enter(namespace)
    for interface in ("all", "default"):
        Path(f"/proc/sys/net/ipv4/conf/{interface}/rp_filter").write_text("0")
        Path(f"/proc/sys/net/ipv6/conf/{interface}/accept_dad").write_text("0")


def _enter(namespace: str) -> None:
    with open(f"/run/netns/{namespace}") as handle:
        _call("setns", handle.fileno(), CLONE_NEWNET)


def _serve(n: int) -> None:
    """A process in isp<n> that answers TCP and UDP on the echo and DNS ports of every address with
    "isp<n> <address that was asked> <address of the asker>". It dies with the sandbox's cgroup."""
    ready, up = os.pipe()
    if os.fork() == 0:
        try:
            os.close(ready)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            _enter(f"isp{n}")
            _answer(n, up)
        finally:
            os._exit(0)
    os.close(up)
    assert os.read(ready, 1) == b"!"
    os.close(ready)


def _answer(n: int, up: int) -> None:
    poll = select.poll()
    sockets = {}
    addresses = [
        *[(V4, a) for a in (f"10.{n}.0.1", f"10.{n}.0.3", SERVER[V4])],
        *[(V6, a) for a in (f"2001:db8:{n}::1", f"2001:db8:{n}::3", SERVER[V6])],
    ]
    for family, address in addresses:
        for kind in (TCP, UDP):
            for port in (ECHO, DNS):
                s = socket.socket(family, kind)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((address, port))
                if kind == TCP:
                    s.listen()
                sockets[s.fileno()] = s
                poll.register(s, select.POLLIN)
    os.write(up, b"!")
    while True:
        for descriptor, _event in poll.poll():
            s = sockets[descriptor]
            if s.type == TCP:
                connection, peer = s.accept()
                told = f"isp{n} {s.getsockname()[0]} {peer[0]}".encode()
                if os.fork() == 0:
                    with contextlib.suppress(OSError):
                        connection.sendall(told)
                        while data := connection.recv(100):
                            connection.sendall(data)
                    os._exit(0)
                connection.close()
            else:
                _data, peer = s.recvfrom(2000)
                s.sendto(f"isp{n} {s.getsockname()[0]} {peer[0]}".encode(), peer)


@contextlib.contextmanager
def opened(
    family: socket.AddressFamily, kind: int, protocol: int = 0, wait: float = 2
) -> Iterator[socket.socket]:
    with socket.socket(family, kind, protocol) as s:
        s.settimeout(wait)
        yield s


def mark_of(s: socket.socket) -> int:
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)


def mark_of_new(family: socket.AddressFamily, kind: int, protocol: int = 0) -> int:
    with opened(family, kind, protocol) as s:
        return mark_of(s)


def mark_when_bound(family: socket.AddressFamily, address: str, kind: int = UDP) -> int:
    with opened(family, kind) as s:
        s.bind((address, 0))
        return mark_of(s)


def mark_when_listening(family: socket.AddressFamily) -> int:
    with opened(family, TCP) as s:
        s.listen()
        return mark_of(s)


def ask(
    family: socket.AddressFamily,
    kind: int,
    address: str,
    port: int = ECHO,
    source: str = "",
    device: str = "",
    wait: float = 2,
) -> str:
    """Whom a question reached, by whom it was asked: "isp1 <asked> <asker>"."""
    with opened(family, kind, wait=wait) as s:
        if device:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if source:
            s.bind((source, 0))
        s.connect((address, port))
        if kind == UDP:
            s.send(b"?")
        return s.recv(200).decode()


class Foreign:
    """A program of somebody else: two instructions, `return 1`."""

    KINDS = {"egress": (8, 1), "sock_create": (9, 2), "sock_ops": (13, 3)}  # noqa: RUF012

    def __init__(self, kind: str, value: int = 1) -> None:
        program_type, self.hook = self.KINDS[kind]
        code = struct.pack("=BBhi", 0xB7, 0, 0, value) + struct.pack("=BBhi", 0x95, 0, 0, 0)
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


@contextlib.contextmanager
def _directory(path: str) -> Iterator[int]:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield directory
    finally:
        os.close(directory)


ALLOW_MULTI = 2
CONNECT4, CONNECT6 = 10, 11

# Mark


@sandboxed
def test_every_kind_of_socket_is_marked_at_birth(lab: Lab) -> None:
    kinds = [
        (V4, TCP, 0),
        (V6, TCP, 0),
        (V4, UDP, 0),
        (V6, UDP, 0),
        (V4, UDP, ICMP),
        (V6, UDP, ICMP6),
        (V4, socket.SOCK_RAW, ICMP),
        (V6, socket.SOCK_RAW, ICMP6),
        (V4, socket.SOCK_RAW, 255),
    ]
    for kind in kinds:
        assert lab.routed(mark_of_new, *kind) == 0
    lab.attach()
    for kind in kinds:
        assert lab.routed(mark_of_new, *kind) == MARKING.mark, kind
    for kind in kinds[:6]:
        assert in_child(functools.partial(mark_of_new, *kind)) == 0


@sandboxed
def test_a_nearer_target_wins(lab: Lab) -> None:
    lab.attach()
    nearer = f"{lab.target}/run"
    os.mkdir(nearer)
    programs.attach(nearer, Marking(0x0400_0000, MARKING.mask, MARKING.bound, strict=False), lab.door())
    assert lab.routed(mark_of_new, V4, TCP) == 0x0400_0000


@sandboxed
@FAMILIES
def test_mptcp_is_refused_as_not_supported(lab: Lab, family: socket.AddressFamily) -> None:
    mptcp = functools.partial(lab.routed, mark_of_new, family, TCP, MPTCP)
    assert mptcp() == 0
    lab.attach()
    with pytest.raises(OSError, match=os.strerror(errno.EPROTONOSUPPORT)) as refused:
        mptcp()
    assert refused.value.errno == errno.EPROTONOSUPPORT


@sandboxed
def test_kernels_without_a_choice_of_error_refuse_with_eperm(lab: Lab) -> None:
    loading._retval = False
    lab.attach(dns_servers=SERVERS4, resolvers=RESOLVERS)
    with pytest.raises(PermissionError):
        lab.routed(mark_of_new, V4, TCP, MPTCP)
    with pytest.raises(PermissionError):
        lab.routed(look_up, V6, UDP, False, SYSTEM[V6])
    assert lab.routed(look_up, V4, UDP, False, STUB)[1] == STUB


@sandboxed
@pytest.mark.parametrize("uid", [0, 65534])
def test_bound_bit(lab: Lab, uid: int) -> None:
    lab.attach()
    untied = [(V4, "0.0.0.0"), (V6, "::"), (V4, "127.0.0.1"), (V6, "::1"), (V6, "::ffff:127.0.0.1")]
    untied += [(V6, "::ffff:0.0.0.0")]
    tied = [(V4, OURS[V4]["wan2"]), (V6, OURS[V6]["wan2"]), (V6, "::ffff:10.2.0.2"), (V4, OURS[V4]["wan1"])]
    for kind in (UDP, TCP):
        for family, address in untied:
            assert lab.routed(mark_when_bound, family, address, kind, uid=uid) == MARKING.mark, address
        for family, address in tied:
            assert lab.routed(mark_when_bound, family, address, kind, uid=uid) == BOUND_MARK, address
    for family in (V4, V6):
        assert lab.routed(mark_when_listening, family, uid=uid) == BOUND_MARK


@sandboxed
def test_a_mechanism_can_be_switched_off(lab: Lab) -> None:
    lab.attach()
    programs.detach(lab.target, {"bound"})
    assert lab.routed(mark_when_bound, V4, OURS[V4]["wan2"]) == MARKING.mark
    programs.detach(lab.target, {"listen"})
    assert lab.routed(mark_when_listening, V4) == MARKING.mark
    programs.detach(lab.target, {"mark"})
    assert lab.routed(mark_of_new, V4, TCP) == 0
    found = programs.attached(lab.target)
    assert found is not None
    assert (found.kinds, found.complete) == (frozenset({"guard", "replies", "attempt"}), False)
    lab.attach()
    found = programs.attached(lab.target)
    assert found is not None
    assert found.complete
    assert found.kinds == programs.KINDS - {"dns"}
    assert lab.routed(mark_when_bound, V4, OURS[V4]["wan2"]) == BOUND_MARK


# Guard


@sandboxed
@FAMILIES
@pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
def test_what_leaves_by_another_adapter_is_dropped_and_counted(
    lab: Lab, family: socket.AddressFamily, kind: int
) -> None:
    lab.attach()
    assert lab.routed(ask, family, kind, SERVER[family]).startswith("isp1 ")
    assert lab.drops() == 0
    others = functools.partial(lab.routed, ask, family, kind, SERVER[family], wait=0.3)
    with pytest.raises(OSError):  # noqa: PT011 - UDP says EPERM, TCP nothing at all
        others(source=OURS[family]["wan2"])
    with pytest.raises(OSError):  # noqa: PT011
        others(device="wan2")
    assert lab.drops() >= 2
    programs.detach(lab.target, {"guard", "attempt"})
    assert others(source=OURS[family]["wan2"]).startswith("isp2 ")
    assert others(device="wan2").startswith("isp2 ")


@sandboxed
@FAMILIES
def test_udp_that_is_dropped_says_so_to_the_sender(lab: Lab, family: socket.AddressFamily) -> None:
    lab.attach()
    with pytest.raises(PermissionError):
        lab.routed(ask, family, UDP, SERVER[family], ECHO, OURS[family]["wan2"])


def send_from(
    family: socket.AddressFamily,
    source: str,
    to: str,
    port: int = ECHO,
    *,
    mapped: bool = False,
    connected: bool = False,
    bound: bool = False,
) -> str:
    """Ask by UDP with the source in IP_PKTINFO (ip(7), ipv6(7)). connected: without naming either address,
    and with ancillary data of another kind, which makes the kernel look at the source again all the same."""
    with opened(V6 if mapped else family, UDP, wait=0.5) as s:
        prefix = "::ffff:" if mapped else ""
        if bound:
            s.bind((prefix + source, 0))
        if connected:
            s.connect((prefix + to, port))
            s.sendmsg([b"?"], [SEGMENTS])
        else:
            if s.family == V6:
                info = socket.inet_pton(V6, prefix + source) + bytes(4)
                cmsg = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)
            else:
                info = bytes(4) + socket.inet_pton(V4, source) + bytes(4)
                cmsg = (socket.IPPROTO_IP, IP_PKTINFO, info)
            s.sendmsg([b"?"], [cmsg], 0, (prefix + to, port))
        return s.recv(200).decode()


def others(lab: Lab) -> frozenset[Any]:
    return frozenset((ip_address(OURS[family]["wan2"]), lab.wan2) for family in (V4, V6))


MAPPED = pytest.mark.parametrize(
    ("family", "mapped"), [(V4, False), (V6, False), (V4, True)], ids=["v4", "v6", "mapped"]
)


@sandboxed
@MAPPED
def test_udp_does_not_carry_another_adapters_address(
    lab: Lab, family: socket.AddressFamily, mapped: bool
) -> None:
    lab.attach(others=others(lab))
    send = functools.partial(lab.routed, send_from, family, to=SERVER[family], mapped=mapped)
    own, other = OURS[family]["wan1"], OURS[family]["wan2"]
    assert send(own) == f"isp1 {SERVER[family]} {own}"
    assert send(own, connected=True) == f"isp1 {SERVER[family]} {own}"
    assert lab.drops() == 0
    with pytest.raises(PermissionError):
        send(other)
    assert lab.drops() == 1
    # What is bound goes by the rules, and is the egress guard's.
    with pytest.raises(PermissionError):
        send(other, bound=True)
    assert lab.drops() == 2
    programs.detach(lab.target, {"guard"})
    assert send(other) == f"isp1 {SERVER[family]} {other}"
    assert lab.drops() == 2


@sandboxed
@MAPPED
def test_an_address_that_is_no_longer_anothers_may_be_carried(
    lab: Lab, family: socket.AddressFamily, mapped: bool
) -> None:
    lab.attach(others=others(lab))
    programs.update(lab.target, lab.door())
    other = OURS[family]["wan2"]
    heard = lab.routed(send_from, family, other, SERVER[family], mapped=mapped)
    assert heard == f"isp1 {SERVER[family]} {other}"
    assert lab.drops() == 0


@sandboxed
@MAPPED
def test_the_lan_is_told_the_lans_address(lab: Lab, family: socket.AddressFamily, mapped: bool) -> None:
    """Whether it is named, or connect() chose it."""
    to, own = ROUTER[family]["wan2"], OURS[family]["wan2"]
    net = {V4: IPv4Network("10.2.0.0/24"), V6: IPv6Network("2001:db8:2::/64")}[family]
    _ip(f"route add {net} dev wan2 table 101", "-4" if family == V4 else "-6")
    send = functools.partial(lab.routed, send_from, family, own, to, mapped=mapped)
    lab.attach(lan=frozenset({(net, lab.wan2)}), others=others(lab))
    assert send() == f"isp2 {to} {own}"
    assert send(connected=True) == f"isp2 {to} {own}"
    assert lab.drops() == 0
    assert send(port=DNS) == f"isp2 {to} {own}"
    # A resolver in the LAN: the look-up programs send that on to the route's server.
    door = lab.door(
        lan=frozenset({(net, lab.wan2)}),
        others=others(lab),
        dns_servers=(SERVERS4 if family == V4 else SERVERS6)[:1],
        resolvers=(ip_address(to),),
    )
    programs.update(lab.target, door)
    with pytest.raises(PermissionError):
        send(port=DNS)
    programs.detach(lab.target)
    lab.attach(STRICT, lan=frozenset({(net, lab.wan2)}), others=others(lab))
    for connected in (False, True):
        with pytest.raises(PermissionError):
            send(connected=connected)


def say_to_oneself(family: socket.AddressFamily, address: str) -> None:
    with opened(family, UDP) as server, opened(family, UDP) as s:
        server.bind((ANY[family], 0))
        s.connect((address, server.getsockname()[1]))
        assert s.getsockname()[0] == address
        s.sendmsg([b"?"], [SEGMENTS])
        assert server.recv(10) == b"?"


@sandboxed
@FAMILIES
def test_the_machine_itself_is_told_all_of_its_addresses(lab: Lab, family: socket.AddressFamily) -> None:
    for marking in (MARKING, STRICT):
        lab.attach(marking, others=others(lab))
        for wan in ("wan1", "wan2"):
            lab.routed(say_to_oneself, family, OURS[family][wan])
        assert lab.drops() == 0
        programs.detach(lab.target)


def ping(family: socket.AddressFamily, address: str, device: str) -> bytes:
    with opened(family, UDP, ICMP if family == V4 else ICMP6, wait=0.3) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        s.sendto(struct.pack("!BBHHH", 8 if family == V4 else 128, 0, 0, 0, 1), (address, 0))
        return s.recv(100)


@sandboxed
@FAMILIES
def test_ping_by_another_adapter_is_dropped(lab: Lab, family: socket.AddressFamily) -> None:
    lab.attach()
    assert lab.routed(ping, family, SERVER[family], "wan1")
    # IPv6 does not tell the sender.
    with pytest.raises(PermissionError if family == V4 else TimeoutError):
        lab.routed(ping, family, SERVER[family], "wan2")
    assert programs.drops(lab.target) == {lab.wan2: 1}


@sandboxed
@FAMILIES
def test_lan_prefixes_and_their_exceptions(lab: Lab, family: socket.AddressFamily) -> None:
    router = ROUTER[family]["wan2"]
    net = {V4: IPv4Network("10.2.0.0/24"), V6: IPv6Network("2001:db8:2::/64")}[family]
    host = {V4: IPv4Network("10.2.0.1/32"), V6: IPv6Network("2001:db8:2::1/128")}[family]
    reach = functools.partial(lab.routed, ask, family, UDP, router, ECHO, "", "wan2", 0.5)
    lab.attach()
    for lan in ((), ((net, lab.wan1),), ((net, 0), (host, lab.wan1)), ((net, lab.wan2), (host, 4711))):
        programs.update(lab.target, lab.door(lan=frozenset(lan)))
        with pytest.raises(PermissionError):
            reach()
    for lan in (((net, 0),), ((net, lab.wan2),), ((net, lab.wan1), (net, lab.wan2)), ((net, 9), (host, 0))):
        programs.update(lab.target, lab.door(lan=frozenset(lan)))
        assert reach().startswith("isp2 ")


def send_by(family: socket.AddressFamily, address: str, device: int) -> int:
    with opened(family, UDP) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, socket.if_indextoname(device).encode())
        return s.sendto(b"?", (address, 9, 0, device) if family == V6 else (address, 9))


LINK = [(V4, "224.0.0.251"), (V4, "255.255.255.255"), (V4, "169.254.1.1"), (V6, "ff02::fb"), (V6, "fe80::1")]


@sandboxed
def test_multicast_and_link_local_pass_unless_strict(lab: Lab) -> None:
    lab.attach()
    for family, address in LINK:
        assert lab.routed(send_by, family, address, lab.wan2) == 1
    programs.detach(lab.target)
    lab.attach(STRICT, lan=frozenset({(IPv4Network("10.2.0.0/24"), 0)}))
    for family, address in [*LINK, (V4, "10.2.0.1"), (V6, "2001:db8:2::1")]:
        with pytest.raises(PermissionError):
            lab.routed(send_by, family, address, lab.wan2)
    assert lab.routed(send_by, V4, "10.1.0.1", lab.wan1) == 1


def serve_once(family: socket.AddressFamily, kind: int, address: str, ready: int) -> str:
    """Answer one client; returns who it was."""
    with opened(family, kind, wait=3) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, 8080))
        if kind == TCP:
            s.listen()
        os.write(ready, b"!")
        if kind == UDP:
            data, peer = s.recvfrom(100)
            s.sendto(data.upper(), peer)
            return str(peer[0])
        connection, peer = s.accept()
        connection.settimeout(3)
        connection.sendall(connection.recv(100).upper())
        return str(peer[0])


def call_from(namespace: str, family: socket.AddressFamily, kind: int, address: str) -> bytes:
    _enter(namespace)
    with opened(family, kind, wait=1.5) as s:
        s.bind((SERVER[family], 0))
        s.connect((address, 8080))
        s.send(b"hello")
        return s.recv(100)


def served(lab: Lab, family: socket.AddressFamily, kind: int, address: str, wan: str) -> bytes:
    """What a client behind an adapter gets from a server in the target."""
    ready, up = os.pipe()
    server = os.fork()
    if server == 0:
        with contextlib.suppress(OSError):
            _in_cgroup(f"{lab.target}/run", 0, serve_once, family, kind, address, up)
        os._exit(0)
    os.close(up)
    try:
        assert os.read(ready, 1) == b"!"
        namespace = wan.replace("wan", "isp")
        call = functools.partial(call_from, namespace, family, kind, OURS[family][wan])
        answer = in_child(call)
        assert isinstance(answer, bytes)
        return answer
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


@sandboxed
@FAMILIES
def test_servers_answer_who_came_in_by_another_adapter(lab: Lab, family: socket.AddressFamily) -> None:
    lab.attach()
    wan2 = OURS[family]["wan2"]
    assert served(lab, family, TCP, ANY[family], "wan1") == b"HELLO"
    assert served(lab, family, TCP, ANY[family], "wan2") == b"HELLO"
    assert served(lab, family, TCP, wan2, "wan2") == b"HELLO"
    assert served(lab, family, UDP, wan2, "wan2") == b"HELLO"
    assert lab.drops() == 0
    programs.detach(lab.target, {"replies"})
    for kind in (TCP, UDP):
        with pytest.raises(OSError):  # noqa: PT011
            served(lab, family, kind, wan2, "wan2")
    assert lab.drops() > 0


@sandboxed
def test_a_server_on_a_mapped_socket_answers(lab: Lab) -> None:
    lab.attach()

    def dual(kind: int, address: str, ready: int) -> None:
        with socket.socket(V6, kind) as s:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            s.settimeout(3)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address, 8080))
            if kind == UDP:
                os.write(ready, b"!")
                data, peer = s.recvfrom(100)
                s.sendto(data.upper(), peer)
                return
            s.listen()
            os.write(ready, b"!")
            connection, _peer = s.accept()
            connection.sendall(connection.recv(100).upper())

    for kind, address in ((TCP, "::"), (TCP, "::ffff:10.2.0.2"), (UDP, "::ffff:10.2.0.2")):
        ready, up = os.pipe()
        server = os.fork()
        if server == 0:
            with contextlib.suppress(OSError):
                _in_cgroup(f"{lab.target}/run", 0, dual, kind, address, up)
            os._exit(0)
        os.close(up)
        assert os.read(ready, 1) == b"!"
        assert in_child(functools.partial(call_from, "isp2", V4, kind, "10.2.0.2")) == b"HELLO"
        os.waitpid(server, 0)


def reroute(lab: Lab, family: socket.AddressFamily, kind: int, moved: int, told: int) -> str:
    """Open a conversation by wan1, wait until the routes have changed, try to go on."""
    with opened(family, kind, wait=1) as s:
        s.connect((SERVER[family], ECHO))
        if kind == UDP:
            s.send(b"?")
        assert s.recv(100).startswith(b"isp1 ")
        os.write(told, b"!")
        os.read(moved, 1)
        try:
            s.send(b"secret")
            return s.recv(100).decode()
        except TimeoutError:
            return "nothing"
        except PermissionError:
            return "refused"


@sandboxed
@FAMILIES
@pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
def test_a_connection_that_the_routes_move_to_another_adapter_is_stopped(
    lab: Lab, family: socket.AddressFamily, kind: int
) -> None:
    lab.attach()
    moved, move = os.pipe()
    tell, told = os.pipe()
    if os.fork() == 0:
        os.read(tell, 1)
        _ip("rule delete pref 20\n", "-4" if family == V4 else "-6")
        os.write(move, b"!")
        os._exit(0)
    assert lab.routed(reroute, lab, family, kind, moved, told) in {"nothing", "refused"}
    assert lab.drops() > 0


@sandboxed
@FAMILIES
def test_sockets_that_outlive_their_cgroup_are_still_guarded(lab: Lab, family: socket.AddressFamily) -> None:
    lab.attach()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if os.fork() == 0:
            _in_cgroup(f"{lab.target}/run", 0, lambda: None)
            with opened(family, UDP) as s, opened(family, TCP) as t:
                socket.send_fds(theirs, [b"!"], [s.fileno(), t.fileno()])
            os._exit(0)
        _data, descriptors, _flags, _address = socket.recv_fds(ours, 1, 2)
        os.wait()
    os.rmdir(f"{lab.target}/run")
    os.rmdir(lab.target)
    assert programs.attached(lab.target) is None
    with socket.socket(fileno=descriptors[0]) as s, socket.socket(fileno=descriptors[1]) as t:
        t.settimeout(0.3)
        assert mark_of(s) == MARKING.mark
        s.bind((OURS[family]["wan2"], 0))
        with pytest.raises(PermissionError):
            s.sendto(b"?", (SERVER[family], ECHO))
        t.bind((OURS[family]["wan2"], 0))
        with pytest.raises(TimeoutError):
            t.connect((SERVER[family], ECHO))


# Look-ups

STUB = "127.0.0.53"
SYSTEM = {V4: "203.0.113.53", V6: "2001:db8:53::53"}
RESOLVERS = (ip_address(STUB), ip_address(SYSTEM[V4]), ip_address(SYSTEM[V6]))
SERVERS4 = (ip_address(ROUTER[V4]["wan1"]), ip_address(OTHER_NAME_SERVER[V4]))
SERVERS6 = (ip_address(ROUTER[V6]["wan1"]), ip_address(OTHER_NAME_SERVER[V6]))


def look_up(family: socket.AddressFamily, kind: int, connected: bool, address: str) -> tuple[str, str, str]:
    """The server that answered, the sender as the client sees it, the peer as getpeername() tells it."""
    with opened(family, kind) as s:
        if not connected:
            s.sendto(b"?", (address, DNS))
            told, sender = s.recvfrom(100)
            return told.decode().split()[1], sender[0], ""
        s.connect((address, DNS))
        if kind == UDP:
            s.send(b"?")
        told, sender = s.recvfrom(100)
        return told.decode().split()[1], sender[0] if kind == UDP else address, s.getpeername()[0]


MODES = [(UDP, True), (UDP, False), (TCP, True)]


@sandboxed
@pytest.mark.parametrize(("kind", "connected"), MODES, ids=["connected", "unconnected", "tcp"])
def test_lookups_go_to_the_adapters_server_and_seem_to_come_from_the_resolver(
    lab: Lab, kind: int, connected: bool
) -> None:
    lab.attach(dns_servers=SERVERS4[:1] + SERVERS6[:1], resolvers=RESOLVERS)
    server = {V4: str(SERVERS4[0]), V6: str(SERVERS6[0])}
    matrix = [
        (V4, STUB, server[V4]),
        (V4, "127.0.0.1", server[V4]),
        (V4, SYSTEM[V4], server[V4]),
        (V6, "::ffff:127.0.0.53", server[V4]),
        (V6, f"::ffff:{SYSTEM[V4]}", server[V4]),
        (V6, "::1", server[V6]),
        (V6, SYSTEM[V6], server[V6]),
    ]
    for family, resolver, expected in matrix:
        answered, sender, peer = lab.routed(look_up, family, kind, connected, resolver)
        assert (answered, sender) == (expected, resolver)
        assert peer in {"", resolver}
    # Asked for by name: left alone, as are the servers themselves and other ports.
    for family in (V4, V6):
        for address in (SERVER[family], OTHER_NAME_SERVER[family], server[family]):
            assert lab.routed(look_up, family, kind, connected, address)[:2] == (address, address)
    programs.detach(lab.target, {"dns"})
    with pytest.raises(OSError):  # noqa: PT011
        lab.routed(look_up, V4, kind, connected, STUB)


@sandboxed
@pytest.mark.parametrize(("kind", "connected"), MODES, ids=["connected", "unconnected", "tcp"])
def test_two_resolvers_are_spread_over_two_servers(lab: Lab, kind: int, connected: bool) -> None:
    lab.attach(dns_servers=SERVERS4 + SERVERS6, resolvers=RESOLVERS)
    look = functools.partial(lab.routed, look_up)
    assert look(V4, kind, connected, STUB)[0] == str(SERVERS4[0])
    assert look(V4, kind, connected, SYSTEM[V4])[0] == str(SERVERS4[1])
    assert look(V4, kind, connected, "127.0.0.1")[0] == str(SERVERS4[0])
    assert look(V6, kind, connected, SYSTEM[V6])[0] == str(SERVERS6[0])


def ask_two(family: socket.AddressFamily, resolvers: list[str]) -> dict[str, str]:
    """As musl does: one socket, a question to each, answers told apart by their senders."""
    with opened(family, UDP) as s:
        for resolver in resolvers:
            s.sendto(b"?", (resolver, DNS))
        return {sender[0]: told.decode().split()[1] for told, sender in (s.recvfrom(99) for _ in resolvers)}


@sandboxed
def test_one_socket_can_ask_two_resolvers(lab: Lab) -> None:
    lab.attach(dns_servers=SERVERS4 + SERVERS6, resolvers=RESOLVERS)
    asked = lab.routed(ask_two, V4, [STUB, SYSTEM[V4]])
    assert asked == {STUB: str(SERVERS4[0]), SYSTEM[V4]: str(SERVERS4[1])}
    mapped = [f"::ffff:{STUB}", f"::ffff:{SYSTEM[V4]}", SYSTEM[V6]]
    asked = lab.routed(ask_two, V6, mapped)
    assert asked == dict(zip(mapped, map(str, (*SERVERS4, SERVERS6[0])), strict=True))


@sandboxed
def test_without_a_server_of_the_family(lab: Lab) -> None:
    unreachable = pytest.raises(OSError, match=os.strerror(errno.ENETUNREACH))
    lab.attach(dns_servers=SERVERS4[:1], resolvers=RESOLVERS)
    for kind in (UDP, TCP):
        answered, sender, peer = lab.routed(look_up, V6, kind, True, SYSTEM[V6])
        assert (answered, sender, peer) == (str(SERVERS4[0]), SYSTEM[V6], SYSTEM[V6])
    with unreachable:
        lab.routed(look_up, V6, UDP, False, SYSTEM[V6])
    programs.update(lab.target, lab.door(dns_servers=SERVERS6[:1], resolvers=RESOLVERS))
    for kind in (UDP, TCP):
        with unreachable:
            lab.routed(look_up, V4, kind, True, STUB)
        mapped = f"::ffff:{STUB}"
        answered, sender, peer = lab.routed(look_up, V6, kind, True, mapped)
        assert (answered, sender, peer) == (str(SERVERS6[0]), mapped, mapped)
    with unreachable:
        lab.routed(look_up, V4, UDP, False, STUB)


def another_port(family: socket.AddressFamily, address: str) -> None:
    with opened(family, UDP) as s:
        s.connect((address, ECHO))
        assert s.getpeername() == (address, ECHO)


@sandboxed
def test_other_ports_of_a_resolver_are_left_alone(lab: Lab) -> None:
    lab.attach(dns_servers=SERVERS4, resolvers=RESOLVERS)
    lab.routed(another_port, V4, STUB)
    lab.routed(another_port, V4, SYSTEM[V4])


# Loader


@sandboxed
def test_what_is_attached_is_read_back(lab: Lab) -> None:
    assert programs.attached(lab.target) is None
    door = Door(
        adapters=frozenset({lab.wan1, 77, 78, 79}),
        lan=frozenset(
            {
                (IPv4Network("10.0.0.0/8"), lab.wan2),
                (IPv4Network("10.0.0.0/8"), lab.wan1),
                (IPv4Network("0.0.0.0/0"), 3),
                (IPv4Network("10.3.0.1/32"), 0),
                (IPv6Network("fd00::/8"), 0),
                (IPv6Network("::/0"), 4),
            }
        ),
        dns_servers=SERVERS6 + SERVERS4,
        resolvers=(*RESOLVERS, SERVERS4[1]),
        others=frozenset({(ip_address(OURS[V4]["wan2"]), lab.wan2), (ip_address(OURS[V6]["wan2"]), 9)}),
    )
    programs.attach(lab.target, MARKING, door)
    found = programs.attached(lab.target)
    assert found == programs.Attached(MARKING, door, complete=True, kinds=programs.KINDS)
    # Another process, another door; the programs for look-ups go and come back.
    for other in (
        lab.door(),
        Door(frozenset({78}), door.lan, SERVERS4[:1], (RESOLVERS[1],), door.others),
        door,
    ):
        in_child(functools.partial(programs.update, lab.target, other))
        found = programs.attached(lab.target)
        assert found is not None
        assert (found.door, found.complete) == (other, True)
    in_child(functools.partial(programs.detach, lab.target))
    assert programs.attached(lab.target) is None


@sandboxed
def test_attaching_again_updates_and_never_doubles(lab: Lab) -> None:
    lab.attach()
    before = hooks(lab.target)
    wider = lab.door(adapters=frozenset({lab.wan1, lab.wan2}))
    programs.attach(lab.target, MARKING, wider)
    found = programs.attached(lab.target)
    assert found is not None
    assert found.door == wider
    assert hooks(lab.target) == before
    with pytest.raises(ProcrouteError) as refused:
        programs.attach(lab.target, STRICT, lab.door())
    assert refused.value.code == "bpf-attached"
    assert hooks(lab.target) == before


def hooks(cgroup: str) -> dict[int, tuple[int, ...]]:
    """Every program on a cgroup, by hook."""
    with _directory(cgroup) as directory:
        return {
            hook: libbpf.query(directory, hook) for hook in (*range(4), 8, 9, 10, 11, 14, 15, 19, 20, 29, 30)
        }


@sandboxed
def test_programs_of_others_stay(lab: Lab) -> None:
    others = [Foreign("egress"), Foreign("sock_create"), Foreign("sock_ops")]
    for other in others:
        other.attach(lab.target, ALLOW_MULTI)
    before = hooks(lab.target)
    lab.attach(dns_servers=SERVERS4, resolvers=RESOLVERS)
    programs.update(lab.target, lab.door())
    assert all(other.is_on(lab.target) for other in others)
    assert lab.routed(mark_when_listening, V4) == BOUND_MARK
    programs.detach(lab.target)
    assert hooks(lab.target) == before


@sandboxed
def test_below_a_program_that_allows_others(lab: Lab) -> None:
    other = Foreign("egress")
    other.attach("/sys/fs/cgroup", ALLOW_MULTI)
    lab.attach()
    assert lab.routed(ask, V4, UDP, SERVER[V4]).startswith("isp1 ")


@sandboxed
@pytest.mark.parametrize("kind", ["egress", "sock_create", "sock_ops"])
def test_below_a_program_that_allows_no_others(lab: Lab, kind: str) -> None:
    Foreign(kind).attach("/sys/fs/cgroup", 0)
    with pytest.raises(ProcrouteError) as refused:
        lab.attach(dns_servers=SERVERS4, resolvers=RESOLVERS)
    assert refused.value.code == "bpf-exclusive"
    assert {"egress": "egress", "sock_create": "sock_create", "sock_ops": "sock_ops"}[kind] in str(
        refused.value
    )
    assert programs.attached(lab.target) is None
    assert not any(hooks(lab.target).values())


@sandboxed
def test_what_a_crash_left_is_completed(lab: Lab) -> None:
    for kinds in ({"guard"}, {"replies"}, {"dns"}, {"attempt"}, {"mark", "bound"}, {"listen", "guard"}):
        lab.attach(dns_servers=SERVERS4, resolvers=RESOLVERS)
        programs.detach(lab.target, kinds)
        found = programs.attached(lab.target)
        assert found is not None
        assert found.kinds == programs.KINDS - kinds
        lab.attach(dns_servers=SERVERS4, resolvers=RESOLVERS)
        found = programs.attached(lab.target)
        assert found is not None
        assert found.complete
        there = hooks(lab.target)
        doubled = {CONNECT4, CONNECT6}  # the guard's and the look-up programs
        assert all(len(ids) == 1 + (hook in doubled) for hook, ids in there.items())


@sandboxed
def test_no_such_cgroup(lab: Lab) -> None:
    nowhere = f"{lab.target}/nowhere"
    assert programs.attached(nowhere) is None
    programs.detach(nowhere)
    with pytest.raises(ProcrouteError) as error:
        programs.attach(nowhere, MARKING, lab.door())
    assert error.value.code == "cgroup-missing"
    with pytest.raises(ProcrouteError) as error:
        programs.update(nowhere, lab.door())
    assert error.value.code == "cgroup-missing"
    with pytest.raises(ProcrouteError) as error:
        programs.attach("/run", MARKING, lab.door())
    assert error.value.code == "cgroup-version"
    with pytest.raises(ProcrouteError) as error:
        programs.update(lab.target, lab.door())
    assert error.value.code == "bpf-missing"


@sandboxed
def test_a_legitimate_prefix_is_never_missing_while_the_door_changes(lab: Lab) -> None:
    stays = (IPv4Network("10.2.0.0/24"), lab.wan2)
    doors = [
        lab.door(lan=frozenset({stays, *((IPv4Network((i << 8, 24)), 0) for i in range(n))}))
        for n in (0, 40, 7, 60)
    ]
    programs.attach(lab.target, MARKING, doors[0])
    stop, end = os.pipe()
    changer = os.fork()
    if changer == 0:
        while not select.select([stop], [], [], 0)[0]:
            for door in doors:
                programs.update(lab.target, door)
        os._exit(0)

    def send() -> None:
        with opened(V4, UDP) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"wan2")
            for _ in range(2000):
                s.sendto(b"?", ("10.2.0.9", 9))

    lab.routed(send)
    os.write(end, b"!")
    assert os.waitpid(changer, 0)[1] == 0
    assert lab.drops() == 0
