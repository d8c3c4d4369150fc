"""Nobody has names looked up by nscd or systemd-resolved while on a route, also where he ran before."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from procroute.kernel import programs
from procroute.lab import Lab
from procroute.lab.names import WHO
from tests.netns.by_hand import Target
from tests.netns.daemons import ALICE, Daemon, placed
from tests.netns.inhabitants import Inhabitant, bystander
from tests.netns.resolving import OURS4, OURS6, answering, asked, astray
from tests.netns.running import procroute, until

promise = pytest.mark.promise
NSCD = "/run/nscd/socket"
RESOLVED = "/run/systemd/resolve/io.systemd.Resolve"
GLIBC = [["glibc", "4"], ["glibc", "6"]]
ROUTE = ("--via", "wan1", "--dns", f"{OURS4},{OURS6}")


@contextmanager
def asking(lab: Lab, path: str) -> Iterator[None]:
    """Somebody listens at a daemon's socket, and glibc asks him."""
    nsswitch = lab.path("/etc/nsswitch.conf")
    before = nsswitch.read_text() if nsswitch.exists() else ""
    nsswitch.write_text("hosts: resolve dns\n" if path == RESOLVED else "hosts: dns\n")
    try:
        with answering(lab, path):
            yield
    finally:
        nsswitch.write_text(before)
        lab.sh(f"rm -rf {path.rpartition('/')[0]}")


def look_up(lab: Lab, who: Inhabitant) -> list[str]:
    """Who has answered, or why nobody has. Captures, and what was noted, are of this only."""
    lab.clear()
    asked(lab)
    answers = json.loads(who.ask("names", name=WHO, ways=GLIBC).said)
    lab.settle()
    return [answer["router"] or answer["error"] for answer in answers]


def assigned(lab: Lab, who: Inhabitant) -> str:
    """Put a process on the route; what is said of its look-ups."""
    done = procroute(lab, "assign", str(who.ask("hello").pid), *ROUTE, "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["dns"])


def caveats(lab: Lab, who: Inhabitant) -> list[str]:
    told = json.loads(procroute(lab, "explain", str(who.ask("hello").pid), "--json").stdout)
    return [caveat["id"] for caveat in told["caveats"]]


def closes() -> bool:
    """Whether this kernel can."""
    return programs.can_close_helpers("/sys/fs/cgroup")


@promise("DNS-10", "DNS-09")
def test_nscd_is_not_asked_by_whom_assign_has_moved(machine: tuple[Lab, Daemon]) -> None:
    """Where the kernel cannot close it, that is said. As long as it could, it was asked."""
    lab, _ = machine
    with bystander(lab) as its, asking(lab, NSCD):
        look_up(lab, its)
        until(lambda: asked(lab), what="a question")
    with bystander(lab) as its, bystander(lab) as other, asking(lab, NSCD):
        said = assigned(lab, its)
        found = look_up(lab, its)
        if not closes():
            assert said.startswith(
                "not followed: nscd asks for this process; start it by root's procroute run"
            )
            assert "dns-helper" in caveats(lab, its)
            assert asked(lab)
            return
        assert said == f"followed: asked at {OURS4}, {OURS6}"
        assert (found, astray(lab), asked(lab)) == (["wan1", "wan1"], [], False)
        assert "dns-helper" not in caveats(lab, its)
        look_up(lab, other)
        assert asked(lab), "a bystander asks as before"


@promise("DNS-10", "NEG-04")
def test_without_that_program_it_would_be_asked(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    with asking(lab, NSCD), bystander(lab) as its:
        assigned(lab, its)
        cgroup = lab.path(f"/sys/fs/cgroup{its.ask('hello').cgroup}").parent
        pid = running.process.command_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            programs.detach(str(cgroup), ("helpers",))
            look_up(lab, its)
            assert asked(lab)
        finally:
            for stopped in (pid, running.process.pid):  # nsenter(1) stops with its child
                os.kill(stopped, signal.SIGCONT)


@promise("DNS-10")
def test_a_users_run_asks_neither(machine: tuple[Lab, Daemon]) -> None:
    lab, _ = machine
    with asking(lab, NSCD), placed(lab, ALICE, *ROUTE[2:]) as command:
        assert closes() is ("look-ups are not followed: nscd" not in command.told())
        found = look_up(lab, command)
        if closes():
            assert (found, astray(lab), asked(lab)) == (["wan1", "wan1"], [], False)


def connects(path: bytes, whole: bool) -> str:
    """What connect() to a Unix socket comes to. whole: its address ends with the zero behind the path."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            if whole:
                sock.connect(path)
            else:
                address = socket.AF_UNIX.to_bytes(2, "little") + path
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.connect(sock.fileno(), address, len(address)):
                    raise OSError(ctypes.get_errno(), "")
        except OSError as error:
            return os.strerror(error.errno or 0)
    return "connected"


@promise("DNS-10")
@pytest.mark.parametrize("whole", [True, False], ids=["zero", "no zero"])
def test_other_sockets_are_left_alone(target: Target, whole: bool) -> None:
    """The daemons' own are refused as if nobody listened there; what only looks like them is not."""
    refused = [b"/run/nscd/socket", b"/var/run/nscd/socket", RESOLVED.encode()]
    others = [b"/run/nscd/socket2", b"/run/nscd/socke", f"{RESOLVED}.Monitor".encode(), b"\0/run/nscd/socket"]
    before = {path: target.routed(connects, path, whole) for path in refused + others}
    target.attach(dns_servers=(), resolvers=(), no_lookups=True)
    after = {path: target.routed(connects, path, whole) for path in refused + others}
    assert {after[path] for path in refused} == {
        os.strerror(errno.ECONNREFUSED if closes() else errno.ENOENT)
    }
    assert {path: after[path] for path in others} == {path: before[path] for path in others}
    assert {before[path] for path in refused} == {os.strerror(errno.ENOENT)}
