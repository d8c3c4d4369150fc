"""`procroute unit slice`: the name that systemd has for a route's slice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.inhabitants import routed
from tests.netns.running import ENVIRONMENT, PROCROUTE, cgroups, procroute

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
SLICES = {
    "wg-home": r"procroute-wg\x2dhome.slice",
    "wg0-mullvad": r"procroute-wg0\x2dmullvad.slice",
    "enp0s31f6": "procroute-enp0s31f6.slice",
    "eth0.100": "procroute-eth0.100.slice",
    "exactly15octets": "procroute-exactly15octets.slice",
    "odd@name": r"procroute-odd\x40name.slice",
    "fibre-line": "procroute-wan1.slice",  # an alternative name
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        for name in SLICES:
            if name != "fibre-line":
                lab.sh(f"ip tuntap add '{name}' mode tun")
        lab.sh("ip link property add dev wan1 altname fibre-line")
        yield lab


@pytest.mark.promise("UNIT-03")
@pytest.mark.parametrize(("name", "slice_"), SLICES.items())
def test_the_slice_of_an_adapter_is_escaped(lab: Lab, name: str, slice_: str) -> None:
    done = procroute(lab, "unit", "slice", name)
    assert (done.returncode, done.stdout) == (0, f"{slice_}\n")
    assert f"procroute: {slice_} is routed only while" in done.stderr


@pytest.mark.promise("UNIT-03")
@pytest.mark.parametrize("options", [(), ("--strict",), ("--dns", "system"), ("--gateway4", "192.0.2.1")])
def test_the_slice_is_that_of_a_run_with_the_same_options(lab: Lab, options: tuple[str, ...]) -> None:
    with routed(lab, *options):
        done = procroute(lab, "unit", "slice", *options, "wan1")
        assert f"/procroute.slice/{done.stdout.strip()}" in cgroups(lab)
        assert "is routed only while" not in done.stderr
        other = procroute(lab, "unit", "slice", *options, "wan2")
        assert "is routed only while" in other.stderr


@pytest.mark.promise("UNIT-03")
def test_anybody_may_ask(lab: Lab) -> None:
    done = lab.run([*NOBODY, *PROCROUTE, "unit", "slice", "wan1"], env=ENVIRONMENT)
    assert (done.returncode, done.stdout) == (0, "procroute-wan1.slice\n")


@pytest.mark.promise("UNIT-03")
def test_an_unknown_adapter_is_named(lab: Lab) -> None:
    done = procroute(lab, "unit", "slice", "wan9")
    assert done.returncode == 125
    assert "there is no adapter wan9" in done.stderr
    assert "did you mean" in done.stderr
