"""Rules by unit on a box, and the units that they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.lab.systemd_box import SYSTEMD, SystemdBox
from tests.netns.ruled import FOLDER
from tests.systemd.daemons import Daemon

RULE: Final = f"{FOLDER}/50-test.toml"
UNITS: Final = "/run/systemd/system"


def rules(running: Daemon, text: str) -> None:
    """Have these rules hold, and no others."""
    running.box.path(RULE).write_text(text)
    running.ask("reload")


def unit_rule(*units: str, way: str = 'via = "wan1"', more: str = "") -> str:
    return f"[[rule]]\nunit = {list(units)}\n{way}\n{more}\n".replace("'", '"')


def unit_file(box: SystemdBox, name: str, *lines: str) -> None:
    """A unit of systemd's, which is loaded."""
    unit_files(box, {name: lines})


def unit_files(box: SystemdBox, units: Mapping[str, Sequence[str]]) -> None:
    """The same of several."""
    box.sh(f"mkdir -p {UNITS}")
    for name, lines in units.items():
        text = "\n".join(("[Unit]", "StartLimitIntervalSec=0", "[Service]", *lines, ""))
        box.path(f"{UNITS}/{name}").write_text(text)
    box.run(["systemctl", "daemon-reload"], check=True)


def came_out(box: SystemdBox) -> dict[str, int]:
    """How many packets came out by which adapter since the last `clear`."""
    box.settle()
    return {name: len(uplink.packets()) for name, uplink in box.uplinks.items() if uplink.packets()}


def holds_first_programs(box: SystemdBox) -> bool:
    """Whether this systemd starts programs by one whose exec can be held."""
    return SYSTEMD[box.suite] >= 255
