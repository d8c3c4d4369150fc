"""What leaves the slice of a wrapped unit by another cgroup: ended where its route is strict, else told."""

from __future__ import annotations

import time

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.netns.running import ENVIRONMENT, PROCROUTE, until
from tests.systemd.services import service
from tests.systemd.wrapped import SEND, UNIT, out_by, systemctl, units, wrap

ELSEWHERE = "/sys/fs/cgroup/elsewhere.scope"
LEAVES = (
    f"mkdir {ELSEWHERE}; echo $$$$ >{ELSEWHERE}/cgroup.procs; sleep 2; while :; do {SEND} sleep 0.1; done"
)
STRICT_ANCHOR = r"procroute-wan1\x7estrict.service"
LIVES = ("ExecStart=sleep 1000",)
TOLD = "left the route for the cgroup /elsewhere.scope"
ENDS_ELSEWHERE = {True: f"{TOLD}: ended, as the route is strict", False: TOLD}


@pytest.mark.promise("UNIT-18")
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "not strict"])
def test_a_unit_that_leaves_its_slice_is_told_of_and_ended_if_strict(box: SystemdBox, strict: bool) -> None:
    """It is the first thing that it does; nobody has asked the daemon who is there. Where the route is not
    strict it leaves by main from then on: so it would."""
    leaving = {UNIT: (f"ExecStart=/bin/bash -c '{LEAVES}'",)}
    with service(box) as served, units(box, leaving):
        wrap(box, UNIT, *(["--strict"] if strict else []))
        box.clear()
        assert systemctl(box, "start", UNIT).returncode == 0
        if strict:
            until(lambda: box.unit_property(UNIT, "ActiveState") == "failed", what="its end")
        else:
            until(lambda: min(out_by(box, "wan2").values()) > 0, what="what leaves by main")
            assert box.unit_property(UNIT, "ActiveState") == "active"
        assert out_by(box, "wan2" if strict else "wan1") == {4: 0, 6: 0}
        main = box.unit_property(UNIT, "ExecMainPID")
        told = [line for line in served.log().splitlines() if line.endswith(ENDS_ELSEWHERE[strict])]
        assert sum(f"bash (pid {main})" in line for line in told) == 1
        box.sh(f"echo 1 >{ELSEWHERE}/cgroup.kill")
        systemctl(box, "stop", UNIT)
        until(lambda: box.sh(f"rmdir {ELSEWHERE} 2>/dev/null; ls -d {ELSEWHERE} 2>/dev/null || true") == "")


@pytest.mark.promise("UNIT-18")
def test_so_is_one_that_comes_when_others_have_come_and_gone(box: SystemdBox) -> None:
    """By whose assignment it would be told then."""
    stays, ends = "probed-stays.service", "probed-ends.service"
    some = {UNIT: (f"ExecStart=/bin/bash -c '{LEAVES}'",), stays: LIVES, ends: LIVES}
    with service(box) as served, units(box, some):
        for name in some:
            wrap(box, name, "--strict")
        systemctl(box, "start", stays)
        assert len(served.ps()) == 2  # with the anchor; who asks has the daemon look
        systemctl(box, "start", ends)
        assert len(served.ps()) == 3
        systemctl(box, "stop", ends)
        until(lambda: "ended" in served.log(), what="that its end is known")
        box.clear()
        systemctl(box, "start", UNIT)
        until(lambda: box.unit_property(UNIT, "ActiveState") == "failed", what="its end")
        assert out_by(box, "wan2") == {4: 0, 6: 0}
        box.sh(f"rmdir {ELSEWHERE}")


@pytest.mark.promise("UNIT-18")
def test_who_is_let_go_after_the_anchor_has_died_has_not_left(box: SystemdBox) -> None:
    with service(box) as served, units(box, {UNIT: LIVES}):
        wrap(box, UNIT, "--strict")
        systemctl(box, "start", UNIT)
        systemctl(box, "kill", "--signal=KILL", STRICT_ANCHOR)
        until(lambda: "ended" in served.log(), what="that its end is known")
        done = box.run([*PROCROUTE, "cleanup", "--force"], env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        box.run([*PROCROUTE, "status"], env=ENVIRONMENT)  # what was to be heard of before has been judged
        time.sleep(1)
        assert box.unit_property(UNIT, "ActiveState") == "active"
        assert "left the route" not in served.log()
