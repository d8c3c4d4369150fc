"""Look-ups of a route with several adapters go by the one that it leaves by, to that one's servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.names import WHO
from tests.netns.resolving import BY_GLIBC, LOOKUPS, SYSTEM4, astray, stub_machine
from tests.netns.running import ENVIRONMENT, run_by, until

WAYS = ("sent", SYSTEM4, "connected", SYSTEM4, "tcp", SYSTEM4, "sent", "127.0.0.53")


def know_servers(lab: Lab) -> None:
    """As systemd-networkd keeps them."""
    lab.sh("mkdir -p /run/systemd/netif/links")
    for uplink in (lab.wan1, lab.wan2):
        index = lab.sh(f"cat /sys/class/net/{uplink.adapter}/ifindex").strip()
        lab.path(f"/run/systemd/netif/links/{index}").write_text(
            f"DNS={uplink.wire.dns4} {uplink.wire.dns6}\n"
        )


@contextmanager
def asking(lab: Lab, via: str) -> Iterator[Process]:
    """A routed shell that looks names up, in all ways, for each line on its stdin."""
    loop = 'echo up; while read go; do "$@"; echo; done'
    pipe = -1
    words = [*run_by(via), "sh", "-c", loop, "sh", *LOOKUPS, WHO, *BY_GLIBC, *WAYS]
    process = lab.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe)
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def routers(process: Process) -> list[str]:
    """By whom each way was answered, or the error."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("go\n")
    process.stdin.flush()
    found = []
    while line := process.stdout.readline().strip():
        answer = json.loads(line)
        found.append(answer.get("router") or answer["error"])
    return found


@pytest.mark.promise("FAIL-10")
def test_look_ups_follow_to_the_servers_of_the_next_adapter() -> None:
    with stub_machine(f"nameserver {SYSTEM4}\nnameserver 127.0.0.53\n") as lab:
        know_servers(lab)
        with asking(lab, "wan1,wan2") as process:
            assert set(routers(process)) == {"wan1"}
            lab.settle()
            assert not astray(lab, "wan1")
            lab.wan1.carrier(False)
            until(lambda: "dev wan2" in lab.ip("route show table 7301 default"), 3)
            lab.clear()
            assert set(routers(process)) == {"wan2"}
            lab.settle()
            assert not astray(lab, "wan2")
            asked = {query.server for query in lab.wan2.queries()}
            assert asked <= {lab.wan2.wire.dns4, lab.wan2.wire.dns6}
