"""Units that speak at once, at each of their starts, and what `procroute unit` does with them.

with speaking(box) as unit:
    wrap(box, unit, "wan1")
    box.run(["systemctl", "start", unit])
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from procroute.lab import UDP
from tests.lab.systemd_box import ADA, SystemdBox
from tests.netns.running import ENVIRONMENT, PROCROUTE, until
from tests.netns.traffic import SERVER

UNIT: Final = "probed.service"
FOLDER: Final = "/etc/systemd/system"
ADAS: Final = "/home/ada/.config/systemd/user"
DROP_IN: Final = f"{FOLDER}/{UNIT}.d/50-procroute.conf"
ANCHOR: Final = "procroute-wan1.service"
SEND: Final = " ".join(f"echo x >/dev/udp/{SERVER[family]}/7000;" for family in (4, 6))
SPEAK: Final = f"/bin/bash -c '{SEND} true'"
"""One datagram of each family, by the first thing that bash does."""
AGAIN_AND_AGAIN: Final = (
    f"ExecCondition={SPEAK}",
    f"ExecStartPre={SPEAK}",
    f"ExecStart=/bin/bash -c '{SEND} exit 1'",
    "Restart=on-failure",
    "RestartSec=10ms",
)
STAYING: Final = (f"ExecStartPre={SPEAK}", f"ExecStart=/bin/bash -c '{SEND} exec sleep 1000'")


def unit(box: SystemdBox, *words: str, ada: bool = False) -> subprocess.CompletedProcess[str]:
    """`procroute unit`, by root or by ada."""
    if ada:
        return box.as_ada([*PROCROUTE, "unit", *words, "--user"], env=ENVIRONMENT)
    return box.run([*PROCROUTE, "unit", *words], env=ENVIRONMENT)


def wrap(box: SystemdBox, *words: str, via: str = "wan1", ada: bool = False) -> str:
    """Wrap a unit, which must be possible; what it printed."""
    done = unit(box, "wrap", "--via", via, *words, ada=ada)
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(box: SystemdBox, *, ada: bool = False) -> list[dict[str, Any]]:
    """`unit list`."""
    done = unit(box, "list", "--json", ada=ada)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["units"]
    return found


@contextlib.contextmanager
def units(box: SystemdBox, some: Mapping[str, Sequence[str]], *, ada: bool = False) -> Iterator[None]:
    """Units by these lines of [Service]; in the end they are stopped, unwrapped and gone."""
    folder = ADAS if ada else FOLDER
    box.sh(f"mkdir -p {folder}")
    for name, lines in some.items():
        text = "\n".join(("[Unit]", "StartLimitIntervalSec=0", "[Service]", *lines, ""))
        box.path(f"{folder}/{name}").write_text(text)
    if ada:
        box.sh(
            f"chown -R {ADA} /home/ada/.config; systemctl restart user@{ADA}"
        )  # in the group procroute now
    systemctl(box, "daemon-reload", ada=ada)
    try:
        yield
    finally:
        systemctl(box, "stop", *(name.replace("@.", "@*.") for name in some), ada=ada)
        for name in some:
            unit(box, "unwrap", name, ada=ada)
        box.sh(f"rm -rf {folder}/probed* {folder}/procroute-*")
        systemctl(box, "daemon-reload", ada=ada)


def systemctl(box: SystemdBox, *words: str, ada: bool = False) -> subprocess.CompletedProcess[str]:
    """systemctl(1), by root or of ada's manager."""
    return box.as_ada(["systemctl", "--user", *words]) if ada else box.run(["systemctl", *words])


def starts(box: SystemdBox, name: str, *, ada: bool = False) -> int:
    """How often systemd has started a unit anew."""
    return int(box.unit_property(name, "NRestarts", user=ada) or 0)


def until_started(box: SystemdBox, name: str, times: int, *, ada: bool = False, seconds: float = 60) -> None:
    """Wait until it was started anew so often, from now on."""
    before = starts(box, name, ada=ada)
    until(lambda: starts(box, name, ada=ada) >= before + times, seconds, f"{times} starts of {name}")


def out_by(box: SystemdBox, adapter: str) -> dict[int, int]:
    """How many datagrams of such units came out by an adapter since the last `clear`, of each family.

    Not what the kernel says to an answer for which nobody waits any more: that is nobody's.
    """
    box.settle()
    uplink = box.uplinks[adapter]
    return {family: len(uplink.packets(protocol=UDP, destination=to)) for family, to in SERVER.items()}
