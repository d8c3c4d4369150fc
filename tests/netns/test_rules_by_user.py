"""Rules by user where no systemd keeps slices: his sockets follow from birth, and no process moves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Literal

import pytest

from procroute.lab import Lab
from procroute.lab.topology import Main
from tests.netns.by_user import HERS, finds, starts, take_off
from tests.netns.daemons import ALICE, BOB, Daemon, daemon, placed
from tests.netns.holding import busy, programs
from tests.netns.ruled import PROGRAM, done, pid_of, rule, script, started, write
from tests.netns.running import procroute, until
from tests.netns.test_guard_servers import ANY, PORT, unanswered
from tests.netns.traffic import (
    FAMILIES,
    NO_WAY,
    SERVER,
    astray,
    both_families,
    elsewhere,
    gateway,
    own_address,
)

promise = pytest.mark.promise
SETUID = "/run/setuid"
COUNT = int(os.environ.get("PROCROUTE_STARTS", "500"))


@pytest.fixture(scope="module")
def machine() -> Iterator[Daemon]:
    """A daemon on a machine whose first default route is by wan2."""
    with Lab(main="both") as lab:
        programs(lab)
        script(lab)
        lab.sh(f"mkdir {SETUID} && mount -n -t tmpfs -o mode=755 none {SETUID}")  # /run is nosuid
        lab.sh(f"cd {SETUID}; cp $(command -v env) roots; chmod 4755 roots")
        with daemon(lab) as running:
            yield running


def rules(running: Daemon, text: str) -> None:
    """Have the daemon's rules be these."""
    write(running.lab, text)
    assert procroute(running.lab, "reload").returncode == 0


@promise("RULE-72")
@both_families
@pytest.mark.parametrize(
    ("main", "rp_filter"), [("both", 0), ("both", 1), ("both", 2), ("none", 0), ("none", 1), ("none", 2)]
)
def test_each_first_packet_leaves_by_the_route_under_load(
    main: Main, rp_filter: Literal[0, 1, 2], family: int
) -> None:
    elsewhere = {"wan2"} if main != "none" else {"none"}
    with Lab(main=main, rp_filter=rp_filter) as lab:
        programs(lab)
        given = [f'gateway{f} = "{gateway(lab.wan1, f)}"' for f in FAMILIES] if main == "none" else []
        write(lab, rule(f'user = "{ALICE}"', *given))
        with daemon(lab) as running, busy(lab):
            assert starts(lab, family, COUNT) == {"wan1": COUNT}, running.log()
            assert starts(lab, family, 5, BOB).keys() == elsewhere
            assert not running.ps()  # nobody was moved


@promise("RULE-72")
@both_families
def test_without_the_rule_they_would_not(running: Daemon, family: int) -> None:
    assert starts(running.lab, family, 5) == {"wan2": 5}
    rules(running, HERS)
    assert starts(running.lab, family, 5) == {"wan1": 5}


@promise("RULE-72", "RULE-75")
@both_families
def test_every_way_to_send_and_nobody_else(running: Daemon, family: int) -> None:
    lab = running.lab
    rules(running, HERS)
    assert finds(lab) == ["owner"]
    (route,) = json.loads(procroute(lab, "status", "--json").stdout)["routes"]
    assert (route["name"], route["owners"]) == ("wan1", [ALICE])
    assert "sockets of" in procroute(lab, "status").stdout
    with started(lab, user=ALICE) as hers, started(lab, user=BOB) as his:
        for way in ("tcp", "udp", "unconnected"):
            assert not astray(lab, hers, way, family, lab.wan1), running.log()
            assert not astray(lab, his, way, family, lab.wan2)
        assert not running.ps()


@promise("RULE-75")
def test_explain_tells_by_which_way_and_why(running: Daemon) -> None:
    lab = running.lab
    rules(running, HERS)
    with started(lab, user=ALICE) as hers, started(lab, user=BOB) as his:
        told, bystander = (
            json.loads(procroute(lab, "explain", pid_of(one), SERVER[4], "--json").stdout)
            for one in (hers, his)
        )
        assert (told["route"], told["ways"][0]["adapter"]) == ("wan1", "wan1")
        found = {one["id"]: one["text"] for one in (*told["findings"], *told["caveats"])}
        assert "the sockets of its user follow route wan1" in found["owner"]
        assert "unguarded" in found
        assert not bystander["route"]


@promise("RULE-75")
@both_families
def test_where_somebody_is_placed_that_holds(running: Daemon, family: int) -> None:
    """By `run`, and by an earlier rule."""
    lab = running.lab
    rules(running, rule(f'exe = "{PROGRAM}"', way='via = "wan2"') + HERS)
    assert finds(lab) == ["held", "owner"]
    with placed(lab, ALICE, via="wan2") as command:
        assert not astray(lab, command, "tcp", family, lab.wan2)
    with started(lab, PROGRAM, user=ALICE) as hers:
        assert not astray(lab, hers, "tcp", family, lab.wan2)
    with started(lab, user=ALICE) as hers:
        assert not astray(lab, hers, "tcp", family, lab.wan1)


@promise("RULE-75")
def test_programs_that_are_setuid_are_not_taken(running: Daemon) -> None:
    lab = running.lab
    rules(running, HERS)
    with started(lab, f"{SETUID}/roots", user=ALICE) as roots:
        uids = lab.path(f"/proc/{pid_of(roots)}/status").read_text().partition("Uid:")[2].split()
        assert uids[:2] == [str(ALICE), "0"]
        for family in FAMILIES:
            assert not astray(lab, roots, "tcp", family, lab.wan2)


@promise("RULE-75")
def test_a_users_own_rule_takes_his_sockets_alone(running: Daemon) -> None:
    lab = running.lab
    done(lab, "add", "--user", str(ALICE), "--via", "wan1", user=ALICE)
    assert finds(lab) == ["owner"]
    for family in FAMILIES:
        assert starts(lab, family, 5) == {"wan1": 5}
        assert starts(lab, family, 5, BOB) == {"wan2": 5}


@promise("RULE-75")
@pytest.mark.parametrize(
    ("text", "how"),
    [
        (rule('name = "x"', way="direct = true") + HERS, "news"),
        (rule(f'user = ["{ALICE}", "root"]'), "owner"),
        (rule('user = "0"'), "user"),
    ],
    ids=["exception", "root-too", "root"],
)
def test_what_is_left_to_news(running: Daemon, text: str, how: str) -> None:
    lab = running.lab
    rules(running, text)
    found = finds(lab)[-1]
    assert found == {"news": "user"}.get(how, how)
    with started(lab, user=0 if "0" in text.split('"') or "root" in text else ALICE) as taken:
        until(lambda: not astray(lab, taken, "tcp", 4, lab.wan1), what="news of it")


@promise("RULE-75")
def test_more_users_than_there_is_room_for(running: Daemon) -> None:
    lab = running.lab
    some = [[f'"{100_000 + n}"' for n in range(first, first + 600)] for first in (0, 600)]
    rules(running, HERS + "".join(rule(f"user = [{', '.join(uids)}]") for uids in some))
    assert finds(lab) == ["owner"] * 3
    assert not done(lab, "list")["notes"]
    for user in (ALICE, 100_000, 101_000):
        assert starts(lab, 4, 3, user) == {"wan1": 3}
    with started(lab, user=101_199) as one:
        until(lambda: one.ask("udp", to=SERVER[4]).router == lab.wan1.wire.node, what="news of him")


@promise("RULE-73")
@both_families
def test_servers_answer_on_every_adapter(running: Daemon, family: int) -> None:
    lab = running.lab
    rules(running, HERS)
    with started(lab, user=ALICE) as hers:
        hers.ask("serve", transport="tcp", address=ANY[family], port=PORT)
        for uplink in lab.uplinks.values():
            hers.ask("serve", transport="udp", address=own_address(uplink, family), port=PORT)
        for adapter in lab.uplinks:
            for transport in ("tcp", "udp"):
                assert not unanswered(lab, transport, adapter, family)
        assert not astray(lab, hers, "tcp", family, lab.wan1)


def strict(lab: Lab) -> None:
    """A rule for a route that nothing of hers may leave."""
    write(lab, rule(f'user = "{ALICE}"', "strict = true"))


@promise("RULE-73")
@both_families
def test_nothing_of_hers_leaves_elsewhere_on_a_strict_route(family: int) -> None:
    with Lab(main="both") as lab:
        strict(lab)
        with daemon(lab), started(lab, user=ALICE) as hers:
            other = own_address(lab.wan2, family)
            hers.ask("serve", transport="tcp", address=ANY[family], port=PORT)
            assert not astray(lab, hers, "tcp", family, lab.wan1)
            for down in (False, True):
                if down:
                    lab.ip("link set wan1 down")
                lab.clear()
                for how in ("tcp", "udp", "unconnected"):
                    asked = {"to": SERVER[family], "seconds": 0.3}
                    if down:
                        assert hers.ask(how, **asked).error in NO_WAY
                    assert hers.ask(how, source=other, **asked).error
                    assert hers.ask(how, device="wan2", **asked).error
                assert unanswered(lab, "tcp", "wan2", family, timeout=0.3)
                assert not elsewhere(lab, "wan1")


@promise("RULE-72", "RULE-73")
@both_families
def test_without_the_programs_it_shows(family: int) -> None:
    with Lab(main="both") as lab:
        strict(lab)
        with daemon(lab) as running, started(lab, user=ALICE) as hers:
            assert not astray(lab, hers, "tcp", family, lab.wan1)
            running.kill()  # or it would put them back
            take_off(lab)
            assert not astray(lab, hers, "tcp", family, lab.wan2)
