"""After it: what is wrapped was started while its adapter was not there."""

from __future__ import annotations

import json

import pytest

from tests.vm.booted.machine import PROBE, by, comes, goes_on_by, lost, procroute, run, until

pytestmark = pytest.mark.promise("SERVICE-30")


def test_nothing_has_left_since_the_boot() -> None:
    until(lambda: run("systemctl", "show", "-P", "ActiveState", PROBE).strip() == "active", "the probe")
    until(lambda: lost() > 4, "refused probes")
    assert (by("wan1"), by("wan2")) == ((0, 0), (0, 0))


def test_then_the_adapter_comes() -> None:
    comes()
    goes_on_by("wan1")
    assert by("wan2") == (0, 0)


def test_the_service_is_as_it_was_put_there() -> None:
    found = json.loads(procroute("service", "status", "--json"))
    assert {unit["active"] for unit in found["units"].values()} == {"active"}
    assert "ordering cycle" not in run("journalctl", "--boot", "--no-pager")
    print(run("systemd-analyze", "security", "--no-pager", "procrouted.service").splitlines()[-1])


def test_unwrapped_it_goes_by_main_again() -> None:
    procroute("unit", "unwrap", PROBE)
    run("systemctl", "restart", PROBE)
    goes_on_by("wan2")
