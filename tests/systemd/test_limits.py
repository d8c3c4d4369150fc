"""Limits that somebody has set on a route's slice, on a user or on a command stay what they are.

The box has no controllers: what can be seen is what systemd keeps of the settings, and whose slice a command
is in.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.netns.inhabitants import routed
from tests.netns.running import ours

promise = pytest.mark.promise
SLICE = "procroute-wan1.slice"
SET = {"TasksMax": "77", "MemoryMax": str(1 << 30)}


@contextmanager
def limited(box: SystemdBox, unit: str, *, user: bool = False) -> Iterator[None]:
    """The unit has these limits, until systemd forgets them."""
    manager = ["--user"] if user else []
    run = box.as_ada if user else box.run
    words = [f"{name}={value}" for name, value in SET.items()]
    run(["systemctl", *manager, "set-property", "--runtime", unit, *words], check=True)
    try:
        yield
    finally:
        run(["systemctl", *manager, "revert", unit], check=True)


def limits(box: SystemdBox, unit: str, *, user: bool = False) -> dict[str, str]:
    """What a manager has for a unit."""
    return {name: box.unit_property(unit, name, user=user) for name in SET}


@promise("UNIT-06")
@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
def test_limits_of_the_slice_hold_for_its_commands(box: SystemdBox, user: bool) -> None:
    """They were set before it was there, and outlive the route."""
    with limited(box, SLICE, user=user):
        for _ in range(2):
            with routed(box, *(["--user", "ada"] if user else [])) as command:
                assert limits(box, SLICE, user=user) == SET
                assert command.ask("hello").cgroup.split("/")[-2] == SLICE
            assert not ours(box)
    assert limits(box, SLICE, user=user) != SET


@promise("UNIT-06")
@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
def test_limits_of_a_command_can_be_set(box: SystemdBox, user: bool) -> None:
    with routed(box, *(["--user", "ada"] if user else [])) as command:
        scope = os.path.basename(command.ask("hello").cgroup)
        assert limits(box, scope, user=user) != SET
        with limited(box, scope, user=user):
            assert limits(box, scope, user=user) == SET
    assert not ours(box)


@promise("UNIT-06")
def test_limits_of_a_user_hold_for_his_command(box: SystemdBox) -> None:
    """What is set on him counts all below his slice (systemd.resource-control(5)): the command is there."""
    with limited(box, "user-1000.slice"), routed(box, "--user", "ada") as command:
        assert limits(box, "user-1000.slice") == SET
        his = box.unit_property("user-1000.slice", "ControlGroup")
        assert command.ask("hello").cgroup.startswith(f"{his}/")
    assert not ours(box)
