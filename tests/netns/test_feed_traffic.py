"""Who watches traffic is told what was captured; nothing counts, and nothing wakes, while nobody watches."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.daemons import ALICE, Daemon, daemon, placed
from tests.netns.inhabitants import without_bpf
from tests.netns.running import ENVIRONMENT, PROCROUTE, until
from tests.netns.traffic import SERVER, both_families, own_address
from tests.netns.watching import Watcher, ask, started, watcher

promise = pytest.mark.promise


def totals(seen: Watcher) -> dict[str, dict[Any, tuple[int, int]]]:
    """The newest event but one is complete by now: kind -> name or id -> bytes received and sent."""
    seen.read()
    before = len(seen.of("traffic"))
    seen.wait(lambda: len(seen.of("traffic")) >= before + 2)
    last = seen.of("traffic")[-1]
    return {
        kind: {c.get("name") or c["id"]: (c.get("received", 0), c.get("sent", 0)) for c in last.get(kind, [])}
        for kind in ("adapters", "routes", "assignments")
    }


def hooked(lab: Lab) -> list[str]:
    """The cgroups of the machine that programs are attached to."""
    return sorted(lab.ask("attached"))


@promise("FEED-05")
@both_families
@pytest.mark.parametrize("way", ["tcp", "udp", "unconnected"])
def test_what_was_captured_is_told(machine: tuple[Lab, Daemon], family: int, way: str) -> None:
    lab, running = machine
    with placed(lab, ALICE) as command, watcher(lab, traffic=0.1) as seen:
        (assigned,) = running.ps()
        before = totals(seen)
        lab.clear()
        for _ in range(3):
            assert not command.ask(way, to=SERVER[family]).error
        lab.settle()
        packets = lab.wan1.packets(source=own_address(lab.wan1, family))
        after = totals(seen)
        assert assigned["id"] in after["assignments"]
        sent = after["assignments"][assigned["id"]][1] - before["assignments"][assigned["id"]][1]
        received = after["assignments"][assigned["id"]][0] - before["assignments"][assigned["id"]][0]
        # The last acknowledgement is the kernel's where the socket is closed already: no process sent it.
        least = sorted(packet.length for packet in packets)[: 3 if way == "tcp" else 0]
        assert sum(p.length for p in packets) - sum(least) <= sent <= sum(p.length for p in packets)
        by_route = [
            now - then for now, then in zip(after["routes"]["wan1"], before["routes"]["wan1"], strict=True)
        ]
        assert by_route == [received, sent]
        by_adapter = [
            now - then
            for now, then in zip(after["adapters"]["wan1"], before["adapters"]["wan1"], strict=True)
        ]
        assert by_adapter[0] >= received
        assert by_adapter[1] >= sent


@promise("FEED-05")
@both_families
def test_new_assignments_are_counted_from_their_beginning(machine: tuple[Lab, Daemon], family: int) -> None:
    lab, running = machine
    with watcher(lab, traffic=0.1) as seen, placed(lab, ALICE) as command:
        (assigned,) = running.ps()
        assert not command.ask("udp", to=SERVER[family]).error
        seen.wait(lambda: totals(seen)["assignments"].get(assigned["id"], (0, 0))[1] > 0)
    until(lambda: not running.ps())


@promise("FEED-06")
def test_nothing_counts_and_nothing_wakes_while_nobody_watches(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    process = Path("/proc") / str(running.process.command_pid())

    def links() -> int:
        """Descriptors of programs, maps and links that the daemon holds."""
        names = [path.readlink().name for path in (process / "fd").iterdir() if path.is_symlink()]
        return sum("bpf" in name for name in names)

    def woken() -> int:
        texts = [(thread / "status").read_text() for thread in (process / "task").iterdir()]
        return sum(int(re.findall(r"\nvoluntary_ctxt_switches:\t(\d+)", text)[0]) for text in texts)

    with placed(lab, ALICE):
        until(running.ps)
        before, attached = links(), hooked(lab)
        with watcher(lab, traffic=0.1, processes=True) as seen, watcher(lab, traffic=0.1, processes=True):
            totals(seen)
            assert (links() > before) is not without_bpf()
        until(lambda: links() == before)
        assert hooked(lab) == attached
        time.sleep(0.5 * FACTOR)
        began = woken()
        with started(lab, "sleep", "7201"):
            time.sleep(1 * FACTOR)
        assert woken() - began < 5


@promise("FEED-06")
def test_killed_it_leaves_nothing_that_counts() -> None:
    with Lab(main="both") as lab, daemon(lab) as running, placed(lab, ALICE):
        until(running.ps)
        before = hooked(lab)
        with watcher(lab, traffic=0.1, processes=True) as seen:
            totals(seen)
            running.kill()
            until(lambda: hooked(lab) == before)
        with daemon(lab), watcher(lab, traffic=0.1, processes=True) as again:
            assert len(totals(again)["assignments"]) == 1
            assert again.named("procrouted") or again.people


@promise("FEED-07")
@both_families
def test_without_bpf_processes_adapters_and_routes_are_told(
    family: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROCROUTE_NO_BPF", "1")
    with (
        Lab(main="both") as lab,
        daemon(lab),
        placed(lab, ALICE) as command,
        watcher(lab, traffic=0.1, processes=True) as seen,
    ):
        before = totals(seen)
        assert not command.ask("udp", to=SERVER[family]).error
        after = totals(seen)
        assert after["routes"]["wan1"][1] > before["routes"]["wan1"][1]
        assert after["adapters"]["wan1"][1] > before["adapters"]["wan1"][1]
        assert not after["assignments"]
        with started(lab, "sleep", "7202"):
            seen.told("7202", name="sleep")
        seen.wait(lambda: not seen.named("7202"))


@promise("FEED-08")
def test_adapters_are_told_as_by_the_command(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    with placed(lab, ALICE):
        until(running.ps)
        by_command = json.loads(
            lab.run([*PROCROUTE, "adapters", "--json"], env=ENVIRONMENT, check=True).stdout
        )["adapters"]
        told = ask(lab, do="adapters")["adapters"]
        assert [a["name"] for a in told] == [a["name"] for a in by_command]
        for one, other in zip(told, by_command, strict=True):
            assert one["ifindex"] == other["ifindex"]
            assert one.get("routes", []) == other["routes"]
            assert one.get("servers", []) == other["dns"]["servers"]
            assert one["addresses"] == [a["address"] for a in other["addresses"]]
            for family, way in other["ways"].items():
                assert one["ways"][family]["usable"] == way["usable"]
                assert one["ways"][family].get("gateway") == way.get("gateway")


@promise("FEED-08")
@pytest.mark.parametrize("address", ["198.51.100.78/24", "2001:db8:1::78/64"], ids=["IPv4", "IPv6"])
def test_it_is_told_that_adapters_have_changed(machine: tuple[Lab, Daemon], address: str) -> None:
    lab, _ = machine
    with watcher(lab, traffic=60) as seen, watcher(lab) as bare:
        lab.ip(f"address add {address} dev wan1")
        try:
            seen.wait(lambda: seen.of("adapters_changed"))
            (wan1,) = [a for a in ask(lab, do="adapters")["adapters"] if a["name"] == "wan1"]
            assert address in wan1["addresses"]
        finally:
            lab.ip(f"address del {address} dev wan1")
        assert not bare.of("adapters_changed")
