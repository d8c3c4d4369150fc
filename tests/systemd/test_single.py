"""A command that hands its work over, in a scope of a user's own manager: that goes with its slice."""

from __future__ import annotations

import shlex

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.netns.running import ENVIRONMENT, run_by, until
from tests.netns.terminal import PROMPT, Terminal
from tests.systemd.daemons import AS_ADA, daemon


@pytest.mark.promise("SINGLE-03")
def test_it_is_said_where_the_users_manager_removes_all(box: SystemdBox) -> None:
    with daemon(box), Terminal(box) as terminal:
        other = box.popen([*AS_ADA, "sleep", "60"], env=ENVIRONMENT)
        until(lambda: box.run(["pgrep", "-u", "ada", "-x", "sleep"]).returncode == 0)
        terminal.type(shlex.join([*AS_ADA, *run_by("wan1"), "sleep", "0.1"]) + "\n")
        terminal.see(PROMPT)
        terminal.see(r"CMD has ended .* sleep \(pid \d+\), which ran before, may do its work")
        other.kill_session()
        other.wait(10)
