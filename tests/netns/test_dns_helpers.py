"""Nobody has names looked up by nscd or systemd-resolved while on a route, also where he ran before."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
from collections.abc import Iterator

import pytest

from procroute.kernel import programs
from procroute.lab import Lab
from procroute.lab.names import WHO
from tests.netns.daemons import ALICE, Daemon, as_user, for_users, placed
from tests.netns.inhabitants import Inhabitant, bystander
from tests.netns.resolving import OURS4, OURS6, answering, asked, astray
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, until

promise = pytest.mark.promise
NSCD = "/run/nscd/socket"
RESOLVED = "/run/systemd/resolve/io.systemd.Resolve"
GLIBC = [["glibc", "4"], ["glibc", "6"]]
ROUTE = ("--via", "wan1", "--dns", f"{OURS4},{OURS6}")


@contextlib.contextmanager
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


REFUSED = ("/run/nscd/socket", "/var/run/nscd/socket", RESOLVED)
OTHERS = ("/run/nscd/socket2", "/run/nscd/socke", f"{RESOLVED}.Monitor", "/run/systemd/resolve/io.systemd")
# The kernel takes an address with the zero behind its path, and without.
_CONNECT = """
import ctypes, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
for path in sys.argv[1:]:
    for end in (b"\\0", b""):
        with socket.socket(socket.AF_UNIX) as one:
            address = socket.AF_UNIX.to_bytes(2, sys.byteorder) + path.encode() + end
            print(libc.connect(one.fileno(), address, len(address)) and ctypes.get_errno())
"""


@promise("DNS-10")
def test_other_sockets_are_left_alone(machine: tuple[Lab, Daemon]) -> None:
    """The daemons' own are refused as if they were not there; what only looks like them is not."""
    lab, _ = machine
    with contextlib.ExitStack() as stack:
        for path in {*REFUSED, *OTHERS} - {"/var/run/nscd/socket"}:  # /var/run leads to /run
            stack.enter_context(answering(lab, path))
        python = stack.enter_context(for_users(lab))
        connect = [python, "-S", "-c", _CONNECT, *REFUSED, *OTHERS]
        by_user = [*as_user(ALICE), *PROCROUTE, "run", *ROUTE, "--"]
        before, after = (
            lab.run([*by, *connect], env=ENVIRONMENT, check=True).stdout.split() for by in ((), by_user)
        )
    lab.sh("rm -r /run/nscd /run/systemd/resolve")
    assert before == ["0"] * 2 * len(REFUSED + OTHERS)
    refused = str(errno.ENOENT if closes() else 0)
    assert after == [refused] * 2 * len(REFUSED) + ["0"] * 2 * len(OTHERS)
