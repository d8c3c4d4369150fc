"""`run` on a machine with systemd: routed, and gone without a trace."""

from __future__ import annotations

from typing import Literal

import pytest

from procroute.lab.topology import Main
from tests.lab.systemd_box import Suite, SystemdBox
from tests.netns.inhabitants import bystander, routed
from tests.netns.running import ours, run, unchanged
from tests.netns.traffic import FAMILIES, WAYS, astray, gateway

promise = pytest.mark.promise


@promise("UNIT-01", "PATH-01", "PATH-03", "BY-03", "NEG-01")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"IPv{family}")
def test_a_command_is_routed_and_others_are_not(box: SystemdBox, family: int) -> None:
    with unchanged(box), bystander(box) as other, routed(box) as command:
        for way in WAYS:
            assert not astray(box, command, way, family, box.wan1)
            assert not astray(box, other, way, family, box.wan2)
        command.switch_off("mark", "guard")
        assert astray(box, command, "tcp", family, box.wan1)


LAYOUTS: tuple[tuple[Suite, Literal[0, 1, 2], Main], ...] = (
    ("bookworm", 1, "none"),
    ("trixie", 2, "none"),
    ("trixie", 1, "both"),
)


@promise("UNIT-01")
@pytest.mark.parametrize(("suite", "rp_filter", "main"), LAYOUTS)
def test_so_it_is_where_reverse_paths_are_checked(
    suite: Suite, rp_filter: Literal[0, 1, 2], main: Main
) -> None:
    with SystemdBox(suite, rp_filter=rp_filter, main=main) as box:
        for name in ("all", "wan1"):  # systemd-sysctl has left it so
            assert box.sh(f"cat /proc/sys/net/ipv4/conf/{name}/rp_filter").strip() == str(rp_filter)
        gateways = [word for family in FAMILIES for word in (f"--gateway{family}", gateway(box.wan1, family))]
        with unchanged(box):
            with routed(box, *gateways) as command:
                for family in FAMILIES:
                    for way in ("tcp", "unconnected"):
                        assert not astray(box, command, way, family, box.wan1)
            assert not ours(box)
            with bystander(box) as other:
                assert bool(astray(box, other, "tcp", 4, box.wan2)) == (main == "none")


@promise("UNIT-01", "CLI-01", "CLI-04")
def test_its_status_and_its_output_are_the_commands(box: SystemdBox) -> None:
    with unchanged(box):
        done = run(box, "wan1", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
