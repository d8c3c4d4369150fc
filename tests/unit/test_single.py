"""Whether a command has handed its work over, and to whom."""

from __future__ import annotations

import pytest

from procroute.core.single import LONGEST, Program, alike, handed_over

promise = pytest.mark.promise
FOX = Program("/usr/lib/firefox/firefox")


@promise("SINGLE-01", "SINGLE-02")
@pytest.mark.parametrize(
    ("status", "seconds", "made", "so"),
    [
        (0, 0.5, False, True),
        (1, 0.5, False, False),
        (143, 0.5, False, False),
        (0, LONGEST, False, False),
        (0, 0.5, True, False),
        (0, 0.5, None, False),
    ],
)
def test_who_ends_well_and_soon_and_without_a_socket(
    status: int, seconds: float, made: bool | None, so: bool
) -> None:
    assert handed_over(status, seconds, made_sockets=made) is so


@promise("SINGLE-01", "SINGLE-02")
@pytest.mark.parametrize(
    ("command", "other", "so"),
    [
        (FOX, FOX, True),
        (Program("/bin/sh", "/usr/bin/firefox"), FOX, True),
        (Program("/bin/sh", "/usr/bin/firefox"), Program("/bin/sh", "/usr/bin/firefox"), True),
        (Program("/bin/sh", "/usr/bin/firefox"), Program("/bin/sh", "/usr/bin/other"), False),
        (Program("/bin/sh", "/usr/bin/firefox"), Program("/bin/sh"), False),
        (FOX, Program("/opt/firefox"), False),
        (Program("/usr/bin/bash"), Program("/usr/bin/bash"), False),
        (Program("/usr/bin/python3.12"), Program("/usr/bin/python3.12"), False),
    ],
)
def test_who_is_the_same_program(command: Program, other: Program, so: bool) -> None:
    assert alike(command, other) is so
