"""Wrapped with `--on-down stop`: systemd ends the unit with its adapter, whose device udev tells of.

After `after.py`, in the same machine: the service is there, the probe is not wrapped, wan1 is up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.vm.booted.machine import (
    PROBE,
    PROBE_UNIT,
    UNITS,
    by,
    comes,
    goes,
    goes_on_by,
    lost,
    procroute,
    run,
    until,
)

pytestmark = pytest.mark.promise("UNIT-19")
DEVICE: Final = "sys-subsystem-net-devices-wan1.device"
ANCHOR: Final = "procroute-wan1.service"
AGAIN: Final = "probe-again.service"
TEMPLATE, INSTANCE, OTHER = "probe@.service", "probe@one.service", "probe@two.service"
BEFORE: Final = "probe-before.service"
SOME: Final = {
    AGAIN: PROBE_UNIT.replace("[Install]", "Restart=always\nRestartSec=100ms\n[Install]"),
    TEMPLATE: PROBE_UNIT,
    BEFORE: PROBE_UNIT.replace(" once", "\nTimeoutStartSec=infinity"),
}
"""One that is started anew however it ends, a template, and one that stays in its ExecStartPre=."""
BOUND: Final = {
    PROBE: (PROBE, "active", "inactive"),
    AGAIN: (AGAIN, "active", "inactive"),
    INSTANCE: (TEMPLATE, "active", "inactive"),
    OTHER: (OTHER, "active", "inactive"),
    BEFORE: (BEFORE, "activating", "failed"),
}
"""What is started, what is wrapped for it, in which state it sends, and ends: a start that is cut off has
failed."""


@pytest.fixture(scope="module", autouse=True)
def more_units() -> None:
    """Beside the probe."""
    for name, text in SOME.items():
        (UNITS / name).write_text(text)
    run("systemctl", "stop", PROBE)


def state(unit: str) -> str:
    """As systemd has it."""
    return run("systemctl", "show", "-P", "ActiveState", unit).strip()


def start(unit: str) -> None:
    """Have systemd start it; one that stays in ExecStartPre= would keep us waiting."""
    run("systemctl", "start", "--no-block", unit)


def settled() -> tuple[tuple[int, int], tuple[int, int]]:
    """What has come by both uplinks when whatever was about to come has had its time."""
    time.sleep(3)
    return by("wan1"), by("wan2")


@contextmanager
def wrapped(unit: str, *options: str) -> Iterator[None]:
    """It leaves by wan1, and nothing by wan2; in the end it is stopped, unwrapped, and wan1 there."""
    run("systemctl", "daemon-reload")
    procroute("unit", "wrap", "--via", "wan1", *options, unit)
    before = by("wan2")
    try:
        yield
        assert by("wan2") == before
    finally:
        run("systemctl", "stop", unit.replace("@.", "@*."))
        if unit in procroute("unit", "list"):
            procroute("unit", "unwrap", unit)
        comes()


@pytest.mark.parametrize("unit", BOUND)
def test_it_ends_with_its_adapter_and_stays_so(unit: str) -> None:
    """Also when that comes back; then it can be started."""
    its, sends, ends = BOUND[unit]
    with wrapped(its, "--on-down", "stop"):
        for _ in range(2):
            start(unit)
            goes_on_by("wan1")
            assert state(unit) == sends
            goes()
            until(lambda: state(unit) == ends, "its end")
            until(lambda: state(ANCHOR) == "inactive", "the end of its route")
            until(lambda: not json.loads(procroute("ps", "--json"))["assignments"], "the end of its anchor's")
            comes()
            ended = by("wan1")
            assert settled()[0] == ended
            assert state(unit) == ends


def test_without_its_adapter_it_does_not_start() -> None:
    """It waits for the device as long as systemd does (DefaultDeviceTimeoutSec=, 90 s); for nothing once that
    is over."""
    with wrapped(PROBE, "--on-down", "stop"):
        goes()
        before = settled()
        began = time.monotonic()
        with pytest.raises(AssertionError, match=r"[Dd]ependency"):
            run("systemctl", "start", PROBE)
        assert time.monotonic() - began > 60
        assert state(PROBE) == "inactive"
        comes()
        assert settled() == before


def test_it_is_started_by_an_adapter_that_comes_in_time() -> None:
    with wrapped(PROBE, "--on-down", "stop"):
        goes()
        before = settled()
        start(PROBE)
        assert settled() == before
        comes()
        goes_on_by("wan1")


def test_it_is_started_with_its_adapter_where_that_wants_it() -> None:
    """As docs/units.md says."""
    with wrapped(PROBE, "--on-down", "stop"):
        wants = UNITS / f"{DEVICE}.wants"
        wants.mkdir()
        (wants / PROBE).symlink_to(run("systemctl", "show", "-P", "FragmentPath", PROBE).strip())
        run("systemctl", "daemon-reload")
        try:
            start(PROBE)
            for _ in range(2):
                goes_on_by("wan1")
                goes()
                until(lambda: state(PROBE) == "inactive", "its end")
                comes()
            goes_on_by("wan1")
        finally:
            run("rm", "-r", str(wants))


@pytest.mark.promise("NEG-20")
@pytest.mark.parametrize("unit", [PROBE, INSTANCE])
def test_without_on_down_stop_it_goes_on_and_reaches_nothing(unit: str) -> None:
    """The control: the adapter's end alone stops nobody."""
    its, *_ = BOUND[unit]
    with wrapped(its):
        start(unit)
        goes_on_by("wan1")
        pid = run("systemctl", "show", "-P", "MainPID", unit)
        goes()
        refused = lost()
        until(lambda: lost() > refused + 4, "refused probes")
        assert (state(unit), run("systemctl", "show", "-P", "MainPID", unit)) == ("active", pid)
        comes()
        goes_on_by("wan1")


def test_an_adapter_that_is_only_down_ends_nothing() -> None:
    with wrapped(PROBE, "--on-down", "stop"):
        start(PROBE)
        goes_on_by("wan1")
        run("ip", "link", "set", "wan1", "down")
        refused = lost()
        until(lambda: lost() > refused + 4, "refused probes")
        assert state(PROBE) == "active"
        goes()
        until(lambda: state(PROBE) == "inactive", "its end")


def test_unwrapped_it_is_bound_no_more() -> None:
    """What runs of it stays on its route until its next start."""
    with wrapped(PROBE, "--on-down", "stop"):
        start(PROBE)
        goes_on_by("wan1")
        procroute("unit", "unwrap", PROBE)
        goes()
        refused = lost()
        until(lambda: lost() > refused + 4, "refused probes")
        assert state(PROBE) == "active"
    run("systemctl", "restart", PROBE)
    goes_on_by("wan2")
    goes()
    goes_on_by("wan2")
    assert state(PROBE) == "active"
    comes()
