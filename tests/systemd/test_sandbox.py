"""Tests of tests/netns with each daemon in the shipped unit's sandbox: a part of `make test-sandbox`.

Rules name programs in /home and /tmp, which a sandbox easily hides or has others of.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from procroute.lab.patience import FACTOR
from tests.netns.running import ROOT

promise = pytest.mark.promise
FIRST_PACKETS = "test_rules_held.py::test_the_first_packet_of_each_start_is_right_under_load"
OPEN_SOCKETS = "test_odd_places.py::test_what_was_opened_on_a_route_goes_on_after_it_also_in_the_root"
PART = {
    FIRST_PACKETS: 2,
    OPEN_SOCKETS: 2,
    "test_feed.py::test_users_see_others_without_command_line": 1,
    "test_leavers.py::test_one_that_leaves_a_strict_route_is_ended": 3,
}
"""Tests, each with its number of cases: execs held, sockets taken, who is seen, an end."""


def sandboxed(suite: str, programs: str, *tests: str, line: str = "") -> subprocess.CompletedProcess[str]:
    """Run tests of tests/netns so. line: one more of [Service]."""
    words = ["-p", "tests.netns.sandbox", "-p", "no:cacheprovider", "-q", "--tb=short"]
    named = [f"tests/netns/{test}" for test in tests]
    of_xdist = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env = of_xdist | {
        "PROCROUTE_SANDBOX": suite,
        "PROCROUTE_SANDBOX_LINE": line,
        "PROCROUTE_PROGRAMS": programs,
        "PROCROUTE_STARTS": "40",
    }
    command = [sys.executable, "-m", "pytest", *words, *named]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300 * FACTOR, check=False
    )


@promise("SERVICE-13")
@pytest.mark.parametrize(("suite", "programs"), [("trixie", "/home/programs"), ("bookworm", "/tmp/programs")])
def test_a_daemon_does_its_work_in_it(suite: str, programs: str) -> None:
    done = sandboxed(suite, programs, *PART)
    assert done.returncode == 0, done.stdout
    assert f"\n{sum(PART.values())} passed in " in done.stdout, done.stdout


@promise("NEG-19", "SERVICE-13")
@pytest.mark.parametrize(
    ("line", "programs", "test", "wrong"),
    [
        ("ProtectHome=yes", "/home/programs", FIRST_PACKETS, "{'wan2': 20}"),
        ("PrivateTmp=yes", "/tmp/programs", FIRST_PACKETS, "{'wan2': 20}"),
        ("CapabilityBoundingSet=~CAP_SYS_ADMIN", "/home/programs", FIRST_PACKETS, "{'wan2': 20}"),
        ("SystemCallFilter=~pidfd_getfd", "/home/programs", OPEN_SOCKETS, "not permitted: move open sockets"),
    ],
    ids=lambda value: value.split("=")[0] if "=" in str(value) else "",
)
def test_a_right_less_is_seen(line: str, programs: str, test: str, wrong: str) -> None:
    """Negative control: what the unit must not say, and what then goes wrong."""
    done = sandboxed("trixie", programs, f"{test}[IPv4]", line=line)
    assert done.returncode == 1, done.stdout
    assert wrong in done.stdout
