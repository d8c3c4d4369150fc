"""Before the virtual machine boots anew: the service is put in place, and a unit is wrapped."""

from __future__ import annotations

import os
import signal

import pytest

from tests.vm.booted.machine import (
    PROBE,
    by,
    comes,
    goes,
    goes_on_by,
    lost,
    make,
    procroute,
    run,
    until,
)

pytestmark = pytest.mark.promise("SERVICE-30")


def test_unwrapped_it_goes_by_main() -> None:
    """The control."""
    make()
    comes()
    run("systemctl", "start", PROBE)
    goes_on_by("wan2")
    assert by("wan1") == (0, 0)


def test_wrapped_it_goes_by_its_route() -> None:
    procroute("service", "install")
    run("systemctl", "stop", PROBE)
    procroute("unit", "wrap", PROBE, "--via", "wan1")
    before = by("wan2")
    run("systemctl", "start", PROBE)
    goes_on_by("wan1")
    run("systemctl", "restart", PROBE)
    goes_on_by("wan1")
    assert by("wan2") == before


@pytest.mark.parametrize("what", ["killed", "restart", "stop", "flush", "daemon-reload", "daemon-reexec"])
def test_it_stays_so(what: str) -> None:
    before = by("wan2")
    pid = run("systemctl", "show", "-P", "MainPID", PROBE)
    match what:
        case "killed":
            os.kill(int(run("systemctl", "show", "-P", "MainPID", "procrouted.service")), signal.SIGKILL)
        case "restart" | "stop":
            run("systemctl", what, "procrouted.service")
        case "flush":
            run("nft", "flush", "ruleset")
        case _:
            run("systemctl", what)
    goes_on_by("wan1")
    assert by("wan2") == before
    assert run("systemctl", "show", "-P", "MainPID", PROBE) == pid
    run("systemctl", "start", "procrouted.service")


def test_it_is_restarted_while_the_adapter_is_gone() -> None:
    goes()
    before = by("wan2")
    run("systemctl", "restart", PROBE)
    until(lambda: lost() > 4, "refused probes")
    comes()
    goes_on_by("wan1")
    assert by("wan2") == before


def test_it_boots_anew() -> None:
    """When the job has long ended."""
    run("systemd-run", "--on-active=20", "systemctl", "reboot")
