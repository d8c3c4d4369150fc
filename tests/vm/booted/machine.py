"""The virtual machine itself as a machine with two uplinks: its own systemd, its own network, the service.

`far` is the network namespace of what is behind both; it counts the probes that arrive, by uplink and family.
wan2 is there from boot on, and main's default is by it. wan1 comes by a unit of its own, which tests start.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from procroute.lab.patience import FACTOR

JOB: Final = Path(__file__).parents[3]
PLACE: Final = Path("/opt/booted")
UNITS: Final = Path("/etc/systemd/system")
PROBE: Final = "probe.service"
WAN1: Final = "uplink-wan1.service"
_PORT: Final = 7777
_SECONDS: Final = 20.0

_UPLINK = """\
set -eu
name=$1 number=$2 metric=$3 v4=$4 v6=$5
ip netns add far 2>/dev/null && {
  ip -n far link set lo up
  ip -n far address add 192.0.2.1/32 dev lo
  ip -n far address add 2001:db8:f::1/128 dev lo
  ip netns exec far nft -f /opt/booted/counters
} || true
ip link add "$name" type veth peer name "far$number" netns far
ip -n far address add "$v4.1/24" dev "far$number"
ip -n far address add "$v6::1/64" dev "far$number" nodad
ip -n far link set "far$number" up
ip link set "$name" up
ip address add "$v4.2/24" dev "$name"
ip address add "$v6::2/64" dev "$name" nodad
ip route add default via "$v4.1" dev "$name" metric "$metric"
ip -6 route add default via "$v6::1" dev "$name" metric "$metric"
"""
_UPLINK_UNIT = """\
[Unit]
DefaultDependencies=no
Before=probe.service
{unit}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash /opt/booted/uplink {words}
[Install]
WantedBy={wanted_by}
"""
_COUNTERS = "table inet seen {\n" + "".join(
    f"  counter wan{n}_{family} {{ }}\n" for n in (1, 2) for family in (4, 6)
)
_RULES = "".join(
    f'    iifname "far{n}" meta nfproto ipv{family} udp dport {_PORT} counter name wan{n}_{family}\n'
    for n in (1, 2)
    for family in (4, 6)
)
_PROBE = f"""\
import socket, sys, time
lost = 0
for n in range(1 if sys.argv[1:] == ["once"] else 10**6):
    for family, to in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8:f::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            try:
                sock.sendto(b"probe", (to, {_PORT}))
            except OSError:
                lost += 1
    with open("/run/probe.lost", "w") as file:
        file.write(str(lost))
    time.sleep(0.05)
"""
PROBE_UNIT: Final = """\
[Service]
ExecStartPre=/usr/bin/python3 /opt/booted/probe.py once
ExecStart=/usr/bin/python3 /opt/booted/probe.py
[Install]
WantedBy=multi-user.target
"""


def make() -> None:
    """Put its units and programs in place, and start wan2."""
    PLACE.mkdir()
    (PLACE / "uplink").write_text(_UPLINK)
    rules = f"  chain in {{\n    type filter hook prerouting priority -400;\n{_RULES}  }}\n}}\n"
    (PLACE / "counters").write_text(_COUNTERS + rules)
    (PLACE / "probe.py").write_text(_PROBE)
    (UNITS / PROBE).write_text(PROBE_UNIT)
    words = "wan1 1 200 198.51.100 2001:db8:1"
    (UNITS / WAN1).write_text(_UPLINK_UNIT.format(unit="", words=words, wanted_by=""))
    words = "wan2 2 100 203.0.113 2001:db8:2"
    text = _UPLINK_UNIT.format(unit="Before=network-pre.target", words=words, wanted_by="sysinit.target")
    (UNITS / "uplink-wan2.service").write_text(text)
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", "uplink-wan2.service")
    run("systemctl", "enable", PROBE)


def goes() -> None:
    """wan1 is deleted."""
    run("systemctl", "stop", WAN1)
    run("ip", "link", "delete", "wan1")


def comes() -> None:
    """wan1 is there, where it is not."""
    run("systemctl", "start", WAN1)


def run(*words: str) -> str:
    """What a command says. Fails where it does."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def procroute(*words: str) -> str:
    """The same of our own."""
    return run("env", f"PYTHONPATH={JOB}", sys.executable, "-m", "procroute", *words)


def arrived() -> dict[str, int]:
    """How many probes have come by each uplink in each family since the machine was booted."""
    listed = json.loads(run("ip", "netns", "exec", "far", "nft", "-j", "list", "counters"))
    found = [each["counter"] for each in listed["nftables"] if "counter" in each]
    return {each["name"]: each["packets"] for each in found}


def by(adapter: str) -> tuple[int, int]:
    """The same of one uplink: in IPv4, in IPv6."""
    now = arrived()
    return now[f"{adapter}_4"], now[f"{adapter}_6"]


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for it."""
    end = time.monotonic() + _SECONDS * FACTOR
    while not holds():
        assert time.monotonic() < end, f"in vain: {what}: {arrived()}"
        time.sleep(0.2)


def goes_on_by(adapter: str) -> None:
    """Wait until more has come by that uplink, in both families."""
    before = by(adapter)
    until(lambda: all(a > b + 2 for a, b in zip(by(adapter), before, strict=True)), f"probes by {adapter}")


def lost() -> int:
    """How many probes the kernel has refused since the service was started."""
    return int(Path("/run/probe.lost").read_text() or 0)
