"""What a systemd manager moves out of its route is named at once, and ended when strict."""

from __future__ import annotations

import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from procroute.lab.commands import Process
from tests.lab.systemd_box import ADA, SystemdBox
from tests.netns.running import ENVIRONMENT, ours, run, run_by, until
from tests.netns.traffic import SERVER

promise = pytest.mark.promise

LEAVER = Path(__file__).with_name("leaver.py")
SYSTEM = "/run/systemd/private"
USERS = f"/run/user/{ADA}/systemd/private"
MANAGERS = [(SYSTEM, ()), (USERS, ("--user", "ada"))]


@contextmanager
def leaving(box: SystemdBox, bus: str, *options: str, name: str = "leaver") -> Iterator[Process]:
    """A routed program that has the manager at this socket move it. name: what it is called."""
    pipe = subprocess.PIPE
    script = f"#!/bin/sh\nexec {sys.executable} {LEAVER} {bus} leaver.scope {SERVER[4]} {SERVER[6]}\n"
    box.path(f"/tmp/{name}").write_text(script)
    box.path(f"/tmp/{name}").chmod(0o755)
    words = [*run_by("wan1", *options), f"/tmp/{name}", "run", "org.example.App"]
    with box.machine.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)
    until(lambda: not ours(box), what="the clean-up")


def said(process: Process) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def told(process: Process, what: str) -> str:
    """The next line of stderr that has this in it."""
    assert process.stderr
    while True:
        ready, _, _ = select.select([process.stderr], [], [], 5)
        assert ready
        line = process.stderr.readline()
        assert line
        if what in line:
            return line


def quiet(box: SystemdBox) -> bool:
    """Whether nothing leaves by the machine's own adapter in the next half second."""
    box.clear()
    time.sleep(0.5)
    box.settle()
    return not [p for p in box.wan2.packets() if p.destination_port == 9]


@promise("ESC-01")
@pytest.mark.parametrize(("bus", "options"), MANAGERS, ids=["system", "user"])
def test_one_that_a_manager_moves_is_named(box: SystemdBox, bus: str, options: tuple[str, ...]) -> None:
    """And leaves by the machine's own adapter: the negative control of the next test."""
    with leaving(box, bus, *options) as process:
        pid = said(process)
        began = time.monotonic()
        line = told(process, "left the route")
        assert time.monotonic() - began < 1
        assert f"(pid {pid})" in line
        assert "leaver.scope" in line
        manager = " --user" if options else ""
        assert process.stderr
        hint = process.stderr.readline()  # the leaver ends by itself
        assert f": systemd-run{manager} --scope --slice=procroute-wan1.slice CMD" in hint
        assert not quiet(box)


@promise("ESC-02")
@pytest.mark.parametrize(("bus", "options"), MANAGERS, ids=["system", "user"])
def test_one_that_a_manager_moves_out_of_a_strict_route_is_ended(
    box: SystemdBox, bus: str, options: tuple[str, ...]
) -> None:
    with leaving(box, bus, *options, "--strict") as process:
        line = told(process, "left the route")
        assert "leaver.scope" in line
        assert ": ended" in line
        assert process.wait(10) == 128 + 9
        assert quiet(box)


@promise("ESC-01", "ESC-02", "ESC-04")
@pytest.mark.parametrize("strict", [(), ("--strict",)], ids=["", "strict"])
def test_a_login_session_takes_its_command_off_the_route(box: SystemdBox, strict: tuple[str, ...]) -> None:
    """Su has logind open one (pam_systemd): that is said before, and the move when it has come."""
    done = run(box, "wan1", "su", "ada", "-c", "cat /proc/self/cgroup; exec sleep 1", options=strict)
    assert "procroute: su opens a login session on many systems" in done.stderr
    assert re.search(
        r"\(pid \d+\).* left the route for the cgroup /user.slice/.*/session-\S+\.scope", done.stderr
    )
    assert "without a login session it stays: procroute run --user NAME -- CMD" in done.stderr
    assert "systemd-run" not in done.stderr
    assert done.returncode == (128 + 9 if strict else 0)
    assert not ours(box)


@promise("ESC-01", "ESC-02")
@pytest.mark.parametrize("strict", [(), ("--strict",)], ids=["", "strict"])
def test_what_the_bus_starts_for_it_is_a_bystander(box: SystemdBox, strict: tuple[str, ...]) -> None:
    """It descends from the bus or the manager, not from the command: neither named nor ended."""
    service = (
        f"[D-BUS Service]\nName=org.example.Slow\nExec={sys.executable} -c 'import time; time.sleep(20)'\n"
    )
    box.path("/usr/share/dbus-1/services/org.example.Slow.service").write_text(service)
    start = (
        "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus busctl --user --timeout=1 call"
        " org.freedesktop.DBus / org.freedesktop.DBus StartServiceByName su org.example.Slow 0;"
        " sleep 0.5; pgrep -f time.sleep.20"
    )
    done = run(box, "wan1", "sh", "-c", start, options=("--user", "ada", *strict))
    pid = done.stdout.split()[-1]
    assert "left the route" not in done.stderr
    assert "/procroute" not in box.sh(f"cat /proc/{pid}/cgroup")
    box.sh(f"kill {pid}")
    assert not ours(box)


@promise("ESC-05")
@pytest.mark.parametrize("dns", [(), ("--dns", "system")], ids=["dns", "no-dns"])
@pytest.mark.parametrize("strict", [(), ("--strict",)], ids=["", "strict"])
def test_flatpak_stays(box: SystemdBox, dns: tuple[str, ...], strict: tuple[str, ...]) -> None:
    """The same program by that name: it asks the socket that flatpak asks, and goes on without."""
    with leaving(box, USERS, "--user", "ada", *dns, *strict, name="flatpak") as process:
        pid = said(process)
        assert "/procroute-wan1" in box.sh(f"cat /proc/{pid}/cgroup")
        assert quiet(box)
        assert {p.family for p in box.wan1.packets() if p.destination_port == 9} == {4, 6}
