"""The machine's name service changes while a command runs: its look-ups still leave by its adapter."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from procroute.kernel import programs
from procroute.lab import WAN1, WAN2, Lab
from procroute.lab.commands import Process
from procroute.lab.names import WHO
from tests.netns.resolving import BY_GLIBC, LOOKUPS, answering, asked, astray, stub_machine, wrong
from tests.netns.running import ENVIRONMENT, procroute, run_by, unchanged, until

promise = pytest.mark.promise
GIVEN: Final = ("--dns", f"{WAN1.dns4},{WAN1.dns6}")
# On the LAN of wan2, where nobody answers.
OLD: Final = {4: "203.0.113.54", 6: "2001:db8:2::54"}
NEW: Final = {4: WAN2.dns4, 6: WAN2.dns6}
FILE: Final = "/etc/resolv.conf"
UPLINKS: Final = "/run/systemd/resolve/resolv.conf"
STUB: Final = "/run/systemd/resolve/stub-resolv.conf"
SOCKETS: Final = ("/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve")
UNCOVER: Final = ("sh", "-c", 'umount "$1" && shift && exec "$@"', "sh")
CONNECT: Final = """
import socket, sys
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
    print("connected")
except OSError as e:
    print(type(e).__name__)
"""
each_family = pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])


@contextmanager
def waiting(lab: Lab, *command: str) -> Iterator[Process]:
    """A command by wan1 that has been started and waits to be let go."""
    waits = ["sh", "-c", 'echo up; read go; exec "$@"', "sh", *command]
    process = lab.popen([*run_by("wan1", *GIVEN), *waits], env=ENVIRONMENT, stdin=-1, stdout=-1)
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    lab.clear()
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait(10)


def let_go(process: Process, lines: int) -> list[str]:
    """The first lines that the command prints."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("go\n")
    process.stdin.flush()
    return [process.stdout.readline().rstrip("\n") for _ in range(lines)]


def look_up(lab: Lab, process: Process, ways: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """What each way of asking gave, when the command is let go."""
    answers = [json.loads(line) for line in let_go(process, len(ways) // 2)]
    lab.settle()
    return {answer.pop("way"): answer for answer in answers}


def resolv_conf(*servers: str) -> str:
    return "".join(f"nameserver {s}\n" for s in servers) + "options timeout:1 attempts:1\n"


def renamed(lab: Lab, path: str, text: str) -> None:
    """Put a file in the place of another at once, as dhclient, NetworkManager, resolvconf and resolved do."""
    new = lab.path(f"{path}.new")
    new.parent.mkdir(parents=True, exist_ok=True)
    new.write_text(text)
    lab.sh(f"mv {path}.new {path}")


def known(lab: Lab) -> set[str]:
    """The resolvers that the look-up programs of the only route know."""
    (target,) = lab.path("/sys/fs/cgroup/procroute.slice").glob("*.slice")
    attached = programs.attached(str(target))
    return {str(r) for r in attached.door.resolvers} if attached else set()


@promise("DNS-07")
@each_family
@pytest.mark.parametrize("file", [FILE, UPLINKS, "/run/resolvconf/resolv.conf"])
def test_new_servers_of_the_system_are_not_asked_past_the_adapter(file: str, family: int) -> None:
    """Nor old ones, which a process may have read of."""
    ways = (*BY_GLIBC, *("sent", NEW[family], "tcp", NEW[family], "sent", OLD[family]))
    with Lab() as lab, unchanged(lab):
        before = lab.path(FILE).read_text()
        lab.path(FILE).write_text(resolv_conf(OLD[family]))
        if "resolvconf" in file:
            renamed(lab, file, resolv_conf(OLD[family]))
            lab.sh(f"ln -sf {file} {FILE}")
        with waiting(lab, *LOOKUPS, WHO, *ways) as process:
            renamed(lab, file, resolv_conf(NEW[family]))
            until(lambda: {OLD[family], NEW[family]} <= known(lab), 2)
            assert not wrong(look_up(lab, process, ways))
            assert not astray(lab)
        lab.sh(f"rm -rf /run/resolvconf /run/systemd {FILE}")
        lab.path(FILE).write_text(before)


@promise("DNS-07")
@each_family
def test_without_the_engine_a_new_file_in_etc_would_be_followed(family: int) -> None:
    """The test above means something."""
    ways = ("sent", NEW[family], "glibc", "4")
    with Lab() as lab:
        lab.path(FILE).write_text(resolv_conf(OLD[family]))
        with waiting(lab, *LOOKUPS, WHO, *ways) as process:
            os.kill(process.command_pid(), signal.SIGSTOP)
            renamed(lab, FILE, resolv_conf(NEW[family]))
            answers = look_up(lab, process, ways)
            for stopped in (process.command_pid(), process.pid):  # nsenter(1) stops with its child
                os.kill(stopped, signal.SIGCONT)
        assert {answer["router"] for answer in answers.values()} == {"wan2"}
        assert astray(lab)


@promise("DNS-07", "KILL-01")
@each_family
@pytest.mark.parametrize("uncovered", [False, True], ids=["", "control"])
def test_a_link_into_run_keeps_the_commands_own_when_the_engine_is_killed(
    family: int, uncovered: bool
) -> None:
    with stub_machine(resolv_conf(OLD[family])) as lab:
        uncover = (*UNCOVER, "/run/systemd/resolve") if uncovered else ()
        with waiting(lab, *uncover, *LOOKUPS, WHO, *BY_GLIBC) as process:
            os.kill(process.command_pid(), signal.SIGKILL)
            process.wait(10)
            renamed(lab, STUB, resolv_conf(NEW[family]))
            answers = look_up(lab, process, BY_GLIBC)
        assert bool(wrong(answers)) is uncovered
        assert bool(astray(lab)) is uncovered
        assert procroute(lab, "cleanup").returncode == 0


@contextmanager
def without_program(lab: Lab, *commands: Process) -> Iterator[None]:
    """Without the program that refuses these sockets, so that the mounts alone are seen."""
    engines = [command.command_pid() for command in commands]
    for engine in engines:
        os.kill(engine, signal.SIGSTOP)
    try:
        (target,) = lab.path("/sys/fs/cgroup/procroute.slice").glob("*.slice")
        programs.detach(str(target), ("helpers",))
        yield
    finally:
        for stopped in (*engines, *(command.pid for command in commands)):  # nsenter(1) stops with its child
            os.kill(stopped, signal.SIGCONT)


@promise("DNS-08")
@pytest.mark.parametrize("there", [True, False], ids=["restarted", "first start"])
@pytest.mark.parametrize("path", SOCKETS, ids=["nscd", "resolved"])
def test_sockets_of_daemons_that_start_meanwhile_stay_out_of_sight(path: str, there: bool) -> None:
    connect = (sys.executable, "-S", "-c", CONNECT, path)
    folder = path.rpartition("/")[0]
    with Lab() as lab:
        lab.sh(f"mkdir -p {folder}")
        if there:
            with answering(lab, path):
                pass
        with waiting(lab, *connect) as process, waiting(lab, *UNCOVER, folder, *connect) as control:
            lab.path(path).unlink(missing_ok=True)
            with answering(lab, path), without_program(lab, process, control):
                assert let_go(process, 1) == ["FileNotFoundError"]
                assert not asked(lab)
                assert let_go(control, 1) == ["connected"]
                until(lambda: asked(lab), what="a question")


@promise("DNS-01")
def test_every_resolv_conf_in_the_folder_is_the_commands_own() -> None:
    with stub_machine() as lab:
        renamed(lab, UPLINKS, resolv_conf(WAN2.dns4))
        done = lab.run([*run_by("wan1", *GIVEN), "cat", FILE, STUB, UPLINKS], env=ENVIRONMENT, check=True)
        text, rest = done.stdout[: len(done.stdout) // 3], done.stdout[len(done.stdout) // 3 :]
        assert rest == text * 2
        assert text.startswith("# by procroute, for wan1")
        assert text.count("\nnameserver ") == 2
        assert lab.path(UPLINKS).read_text() == resolv_conf(WAN2.dns4)


@promise("DNS-02")
def test_a_run_inside_a_run_knows_the_servers_behind_the_stub_and_of_each_adapter() -> None:
    with stub_machine() as lab:
        renamed(lab, UPLINKS, resolv_conf(WAN2.dns4))
        words = [*run_by("wan1", *GIVEN), *run_by("wan2"), "cat", FILE]
        assert f"\nnameserver {WAN2.dns4}\n" in lab.run(words, env=ENVIRONMENT, check=True).stdout
        ifindex = lab.path("/sys/class/net/wan2/ifindex").read_text().strip()
        of_link = lab.path(f"/run/systemd/resolve/netif/{ifindex}")
        of_link.parent.mkdir()
        of_link.write_text(f"SERVERS={WAN2.dns6}\n")
        assert f"\nnameserver {WAN2.dns6}\n" in lab.run(words, env=ENVIRONMENT, check=True).stdout
