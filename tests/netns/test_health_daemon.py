"""Checks while the daemon lives: told, reloaded, kept by its next life, and nothing where there are none."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.checking import FILE, NOBODY, checks, found, hang, kind_of_check, states
from tests.netns.daemons import daemon, placed
from tests.netns.running import ENVIRONMENT, PROCROUTE, cgroups, procroute, unchanged, until
from tests.netns.test_reload import configure
from tests.netns.traffic import FAMILIES, astray
from tests.netns.watching import watcher

promise = pytest.mark.promise
_AILING = """
import sys
from procroute.identity import Identity
from procroute.kernel.linux import Linux
with Linux(Identity()) as linux:
    print(sorted(linux.observe().machine.ailing))
"""
PAIR = """link add pair0 type veth peer name pair1
link set pair0 up
link set pair1 up
address add 10.9.0.2/24 dev pair0
"""
PING = kind_of_check("ping", 4)


def adapters(lab: Lab) -> dict[str, Any]:
    """The health of each adapter, as `procroute adapters` tells it."""
    done = lab.run([*PROCROUTE, "adapters", "--json"], env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return {one["name"]: one["health"] for one in json.loads(done.stdout)["adapters"]}


def ailing(lab: Lab) -> str:
    """The adapters that an engine takes for dead."""
    done = lab.run([PROCROUTE[0], "-c", _AILING], env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def is_now(lab: Lab, state: str, adapter: str = "wan1") -> None:
    """Wait until an adapter is found so."""
    until(lambda: found(lab, adapter)["state"] == state, 15, state)


@promise("HEALTH-08")
def test_what_is_found_is_told_everywhere() -> None:
    with Lab(main="both") as lab:
        configure(lab, checks("wan1", PING, interval=0.3, down=2))
        with daemon(lab) as running, watcher(lab) as seen:
            is_now(lab, "up")
            assert ailing(lab) == "[]"
            lab.wan1.silence(forget=False)
            is_now(lab, "down")
            told = adapters(lab)
            assert told["wan1"] == {k: found(lab, "wan1")[k] for k in ("state", "since", "reason", "checks")}
            assert told["wan2"] is None
            index = lab.sh("cat /sys/class/net/wan1/ifindex").strip()
            assert ailing(lab) == f"[{index}]"
            text = procroute(lab, "adapters").stdout
            assert "down since" in text
            assert "ping 192.0.2.80: no answer in" in text
            assert "the health of adapter wan1 is down: ping 192.0.2.80" in running.log()
            until(lambda: seen.read() and _told(seen.events, "down"))
            lab.wan1.restore()
            is_now(lab, "up")
            until(lambda: seen.read() or _told(seen.events, "up") > 0)
            assert lab.sh(f"stat -c %a {FILE}").strip() == "644", "users look, too"
            running.kill()
        assert adapters(lab)["wan1"] is None, "nobody checks any more"
        assert ailing(lab) == "[]"


def _told(events: list[dict[str, Any]], state: str) -> int:
    return sum(e["event"] == "health" and e["health"].get("state") == state for e in events)


@promise("HEALTH-07")
def test_a_reload_takes_what_is_new_and_lets_the_rest_go_on() -> None:
    with Lab(main="both") as lab:
        configure(lab, checks("wan1", PING, interval=0.3))
        with daemon(lab):
            is_now(lab, "up")
            before = found(lab, "wan1")
            more = kind_of_check("tcp", 4)
            configure(lab, checks("wan1", PING, more, interval=0.3) + checks("wan2", more, interval=0.3))
            assert procroute(lab, "reload").returncode == 0
            until(lambda: list(states(lab, "wan1").values()) == ["up", "up"], 15)
            is_now(lab, "up", "wan2")
            now = found(lab, "wan1")
            assert now["checks"][0] == before["checks"][0], "it has gone on"
            assert now["since"] == before["since"]
            configure(lab, checks("wan2", more, interval=0.3) + "[[adapter.wan2.check]]\npign = 1\n")
            bad = procroute(lab, "reload")
            assert bad.returncode == 125
            assert "did you mean adapter.wan2.check.ping?" in bad.stderr
            assert found(lab, "wan1")["state"] == "up"
            configure(lab, checks("wan2", more, interval=0.3) + checks("wan9", PING))
            said = procroute(lab, "reload")
            assert "[adapter.wan9]: there is no adapter wan9 now" in said.stderr
            assert adapters(lab)["wan1"] is None
            assert found(lab, "wan2")["state"] == "up"
            until(lambda: "wan1~strict" not in lab.ip("route show table all proto 112"))


@promise("HEALTH-07")
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_was_down_is_down_for_the_next_daemon(how: str) -> None:
    with Lab(main="both") as lab:
        other = f'ping = "{lab.wan1.wire.gateway4}"'
        configure(lab, checks("wan1", PING, other, interval=0.3, down=2))
        with daemon(lab) as running:
            lab.wan1.silence()
            is_now(lab, "down")
            before = found(lab, "wan1")
            running.kill() if how == "kill" else running.stop()
        assert ailing(lab) == "[]", "while nobody checks"
        with daemon(lab) as again:
            until(lambda: ailing(lab) != "[]", 5)
            now = found(lab, "wan1")
            assert (now["state"], now["since"]) == ("down", before["since"])
            lab.wan1.restore()
            is_now(lab, "up")
            again.stop()
        assert not lab.path(FILE).exists()


@promise("HEALTH-07")
def test_an_adapter_that_is_made_anew_begins_anew() -> None:
    with Lab(main="both") as lab:
        lab.machine.batch(PAIR)
        text = checks("pair0", PING, interval=0.3, down=2).replace("need =", 'gateway4 = "10.9.0.1"\nneed =')
        configure(lab, text)
        with daemon(lab):
            is_now(lab, "down", "pair0")
            before = found(lab, "pair0")["ifindex"]
            lab.machine.batch("link del pair0\n")
            until(lambda: found(lab, "pair0")["state"] == "unknown", 15)
            assert ailing(lab) == "[]"
            lab.machine.batch(PAIR)
            is_now(lab, "down", "pair0")
            assert found(lab, "pair0")["ifindex"] != before


@promise("HEALTH-05", "HEALTH-07")
def test_without_carrier_nothing_is_checked_and_what_was_down_stays_so() -> None:
    """So many failures until it is down that the news of the carrier come first."""
    with Lab(main="both") as lab:
        configure(lab, checks("wan1", PING, interval=0.3, down=8))
        with daemon(lab):
            is_now(lab, "up")
            lab.wan1.carrier(False)
            is_now(lab, "unknown")
            assert "wan1 has no carrier" in found(lab, "wan1")["reason"]
            lab.wan1.restore()
            is_now(lab, "up")
            lab.wan1.silence()
            is_now(lab, "down")
            lab.wan1.carrier(False)
            time.sleep(1)
            assert found(lab, "wan1")["state"] == "down"
            lab.wan1.restore()
            is_now(lab, "up")


@promise("HEALTH-10")
def test_where_nothing_is_checked_there_is_nothing() -> None:
    with Lab(main="both") as lab:
        configure(lab, "")
        with unchanged(lab), daemon(lab) as running:
            assert not lab.path(FILE).exists()
            assert not cgroups(lab)
            assert "4400" not in lab.ip("rule")
            configure(lab, checks("wan1", PING, interval=0.3))
            procroute(lab, "reload")
            is_now(lab, "up")
            assert "4400" in lab.ip("rule")
            configure(lab, "")
            procroute(lab, "reload")
            until(lambda: "4400" not in lab.ip("rule") and not cgroups(lab))
            assert not lab.path(FILE).exists()
            until(lambda: _sleeps(running.process.command_pid()), 20, "its sleep")


def _sleeps(pid: int) -> bool:
    """Whether no thread of a process was woken for two seconds."""

    def woken() -> list[str]:
        files = Path(f"/proc/{pid}/task").glob("*/status")
        return [line for file in files for line in file.read_text().splitlines() if "voluntary_ctxt" in line]

    before = woken()
    time.sleep(2)
    return woken() == before


@promise("HEALTH-06")
@pytest.mark.parametrize("family", FAMILIES)
def test_who_hangs_holds_up_nobody(family: int) -> None:
    """Fifteen checks that are never answered, beside one that is: it comes as often as without them."""
    with Lab(main="both") as lab:
        hang(lab.wan1)
        at = NOBODY[family] if family == 4 else f"[{NOBODY[family]}]"
        hung = [f'tcp = "{at.format(n)}:80"' for n in range(1, 16)]
        text = checks("wan1", *hung, interval=2, timeout=2, down=1)
        quick = f"[[adapter.wan1.check]]\n{kind_of_check('dns', family)}\ninterval = 0.25\njitter = 0\n"
        configure(lab, text + quick)
        with daemon(lab) as running, placed(lab, 0, via="wan2") as command:
            is_now(lab, "up")
            until(lambda: list(states(lab, "wan1").values()).count("down") == 15, 15)
            lab.clear()
            began = time.monotonic()
            time.sleep(3)
            lab.settle()
            number = len(lab.wan1.queries("who.procroute.test"))
            expected = (time.monotonic() - began) / 0.25
            assert expected * (0.8 if FACTOR == 1 else 0.4) <= number <= expected + 1
            assert len(running.ps()) == 1
            strays = astray(lab, command, "tcp", family, lab.wan2)
            assert not [stray for stray in strays if not stray.startswith("wan1")], "but the checks"
