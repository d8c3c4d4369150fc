"""Sweeps of faults as tests run them: a program in the machine tries fate by fate, the test looks at each.

    for found in sweep(lab, "tests.netns.faulty_run", who="engine", ...):
        assert found["status"] in (7, 125)

PROCROUTE_FAULTS: how many fates a test tries, or "all", or which ("11:ENOMEM*,17:before"); without it a few,
spread over all calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest

from procroute.lab import Lab
from procroute.lab.packet import UDP, Packet
from tests.netns.faults import PORTS, RAN
from tests.netns.running import ENVIRONMENT
from tests.netns.traffic import SERVER

_ASKED: Final = os.environ.get("PROCROUTE_FAULTS", "")
_A_DAY: Final = 86_400
patient = pytest.mark.timeout(_A_DAY if _ASKED else 600)


SEND: Final = (
    f"bash -c 'for to in {SERVER[4]} {SERVER[6]}; do echo $PORT >/dev/udp/$to/$PORT; done'; exit {RAN}"
)
"""What a command does: a datagram of each family to a port by which it is known."""


def is_sent(packet: Packet) -> bool:
    """Whether it is one of those."""
    return packet.protocol == UDP and packet.destination_port >= PORTS


_NAMES: Final = {f"+ /etc/iproute2{below}" for below in ("", "/rt_tables.d", "/rt_tables.d/procroute.conf")}
_NOT_PERMITTED: Final = ("EPERM* rmdir", "EPERM unlink /etc/iproute2/", "EPERM* unlink")
"""Names of tables: where removing them is not permitted that is not tried again by that process until
somebody has changed them (kernel/table_names.py)."""


def sweep(lab: Lab, program: str, most: int, **given: Any) -> Iterator[dict[str, Any]]:
    """What the program says of each fate; the block looks at it, and what that leaves must be restored.

    most: how many fates at most, unless PROCROUTE_FAULTS says otherwise. AssertionError when the program
    ends too early, or when nothing was left to fail.
    """
    some: int | list[str] = most
    if _ASKED:
        some = 0 if _ASKED == "all" else _ASKED.split(",") if ":" in _ASKED else int(_ASKED)
    words = [sys.executable, "-m", program, json.dumps({"most": some, **given})]
    pipe = subprocess.PIPE
    process = lab.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe)
    tried, met, last = 0, 0, ""
    stays: set[str] = set()
    with process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for line in process.stdout:
            said = json.loads(line)
            if "calls" in said:
                assert process.wait(20) == 0
                assert met > tried // 2, f"only {met} of {tried} calls were there to fail"
                return
            if "restored" in said:
                refused = any(words in last for words in _NOT_PERMITTED)
                stays = _NAMES & set(said["restored"]) if stays or refused else set()
                assert not set(said["restored"]) - stays, f"after {last}: {said}"
                continue
            tried += 1
            met += bool(said["call"])
            last = f"{said['fate']} {said['call']}"
            yield said
            process.stdin.write("\n")
            process.stdin.flush()
        raise AssertionError(f"after {last}: {process.stderr.read()}")
