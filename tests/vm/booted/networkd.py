"""systemd-networkd is started anew on a machine whose uplinks it looks after: with our drop-in, and without.

After `after.py`, in the same machine. The daemon is stopped in each test, so that nobody puts anything back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.vm.booted.machine import PROBE, by, goes_on_by, lost, procroute, run, until

NETWORKD: Final = "systemd-networkd.service"
NETWORK: Final = Path("/etc/systemd/network")
DROP_IN: Final = Path("/etc/systemd/networkd.conf.d/50-procroute.conf")
DAEMON: Final = ("procrouted.socket", "procrouted.service")
_UPLINK: Final = """\
[Match]
Name={name}
[Network]
LinkLocalAddressing=no
IPv6AcceptRA=no
Address={v4}.2/24
Address={v6}::2/64
[Route]
Gateway={v4}.1
Metric={metric}
[Route]
Gateway={v6}::1
Metric={metric}
"""
_UPLINKS: Final = {"wan1": ("198.51.100", "2001:db8:1", 200), "wan2": ("203.0.113", "2001:db8:2", 100)}


@pytest.fixture(scope="module", autouse=True)
def looked_after() -> Iterator[None]:
    """The probe is on its route, and networkd keeps both uplinks as they are: it has taken them over while
    the daemon ran. 257 makes their addresses anew then, and IPv4 routes go with those until the repair."""
    NETWORK.mkdir(exist_ok=True)
    for name, (v4, v6, metric) in _UPLINKS.items():
        (NETWORK / f"10-{name}.network").write_text(_UPLINK.format(name=name, v4=v4, v6=v6, metric=metric))
    run("systemctl", "stop", PROBE)
    procroute("unit", "wrap", "--via", "wan1", PROBE)
    run("systemctl", "start", PROBE)
    goes_on_by("wan1")
    elsewhere = by("wan2")
    begun_anew()
    goes_on_by("wan1")
    until(is_still, "the end of the repair")
    assert by("wan2") == elsewhere
    yield
    run("systemctl", "stop", NETWORKD, PROBE)
    procroute("unit", "unwrap", PROBE)
    for file in NETWORK.iterdir():
        file.unlink()


def begun_anew() -> None:
    """Networkd, which has set up both uplinks now."""
    run("systemctl", "restart", NETWORKD)
    until(lambda: all(map(_is_set_up, _UPLINKS)), "networkd's adapters")


def _is_set_up(name: str) -> bool:
    return "(configured)" in run("networkctl", "status", "--no-pager", name)


def made() -> tuple[set[str], set[str]]:
    """Our ip rules and our routes, of both families."""
    rules = {f"{f} {line}" for f in "46" for line in run("ip", "-N", f"-{f}", "rule").splitlines()}
    routes = {f"{f} {line}" for f in "46" for line in _routes(f)}
    return {rule for rule in rules if "proto 112" in rule}, routes


def is_still() -> bool:
    """Whether they stay as they are for a moment."""
    now = made()
    time.sleep(2)
    return made() == now


def _routes(family: str) -> list[str]:
    listed = run("ip", "-N", f"-{family}", "route", "show", "table", "all", "proto", "112")
    return [line.strip() for line in listed.splitlines()]


def by_adapters(routes: set[str]) -> set[str]:
    """Those that leave by an adapter: what networkd looks at, adapter by adapter."""
    return {route for route in routes if any(f"dev {name}" in route for name in _UPLINKS)}


@contextmanager
def without_a_daemon() -> Iterator[None]:
    """It is started again in the end."""
    run("systemctl", "stop", *DAEMON)
    try:
        yield
    finally:
        run("systemctl", "start", *DAEMON)


@contextmanager
def without_the_drop_in() -> Iterator[None]:
    """It is back in the end."""
    text = DROP_IN.read_text()
    DROP_IN.unlink()
    try:
        yield
    finally:
        DROP_IN.write_text(text)


@pytest.mark.promise("SERVICE-31")
def test_it_leaves_ours_alone() -> None:
    before, elsewhere = made(), by("wan2")
    assert all(before)
    with without_a_daemon():
        for _ in range(3):
            begun_anew()
            assert [sorted(was ^ now) for was, now in zip(before, made(), strict=True)] == [[], []]
            goes_on_by("wan1")
    assert by("wan2") == elsewhere


@pytest.mark.promise("NEG-21")
def test_without_the_drop_in_it_takes_them_away() -> None:
    """What is sent then goes nowhere, until the next daemon has put them back."""
    rules, routes = made()
    assert by_adapters(routes)
    elsewhere = by("wan2")
    with without_the_drop_in(), without_a_daemon():
        begun_anew()
        until(lambda: not made()[0] & rules, "the end of our rules")
        until(lambda: not by_adapters(made()[1]), "the end of our routes")
        refused = lost()
        until(lambda: lost() > refused + 4, "refused probes")
    until(lambda: made() == (rules, routes), "the repair")
    goes_on_by("wan1")
    assert by("wan2") == elsewhere
