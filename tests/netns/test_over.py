"""User-space tunnels over a route: their outer packets leave by it, and by nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

import pytest

from procroute.lab import Lab
from tests.netns.checking import checks, deafen, found, kind_of_check
from tests.netns.daemons import Daemon, daemon
from tests.netns.inhabitants import Command, routed
from tests.netns.ruled import PROGRAM, pid_of, refused, rules, script
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, until
from tests.netns.test_reload import ask, configure
from tests.netns.traffic import FAMILIES, both_families
from tests.netns.tunnelling import DEVICE, PORT, client, inside, outer, preferring, servers, until_inside
from tests.netns.uplinks import LOSSES, by, three

promise = pytest.mark.promise
each_uplink = pytest.mark.parametrize("uplink", ["wan1", "wan2"])
OTHER = {"wan1": "wan2", "wan2": "wan1"}


def over(way: str, *more: str) -> str:
    """The configuration of the tunnel."""
    return "\n".join((f"[adapter.{DEVICE}]", f'over = "{way}"', *more, ""))


@contextmanager
def tunnelled(text: str, uplink: str, family: int, *options: str) -> Iterator[tuple[Lab, Daemon, Command]]:
    """A tunnel that runs already when the daemon starts, and a command through it; main prefers the other
    uplink. family: the outer one."""
    with preferring(OTHER[uplink]) as lab, servers(lab, family), client(lab, family, *options):
        configure(lab, text)
        with daemon(lab) as running, routed(lab, via=DEVICE) as command:
            yield lab, running, command


def misled(lab: Lab, command: Command, uplink: str) -> list[str]:
    """What is wrong: the inner traffic of both families comes out behind the uplink, and no outer packet
    elsewhere."""
    lab.clear()
    heard = {family: inside(command, family) for family in FAMILIES}
    findings = [f"inner IPv{f}: {said}" for f, said in heard.items() if said != uplink]
    sent = outer(lab)
    findings += [] if sent.get(uplink) else [f"no outer packet by {uplink}"]
    return findings + [f"{n} outer packets by {name}" for name, n in sent.items() if name != uplink]


@promise("OVER-03")
@each_uplink
@both_families
@pytest.mark.parametrize(
    "options", [(), ("--port", str(PORT)), ("--connect",)], ids=["any", "port", "connect"]
)
def test_whoever_has_the_device_open_is_put_on_the_route(
    uplink: str, family: int, options: tuple[str, ...]
) -> None:
    with tunnelled(over(uplink), uplink, family, *options) as (lab, running, command):
        assert not misled(lab, command, uplink)
        (placed,) = (one for one in running.ps() if one["how"] == "rule")
        assert (placed["route"], placed["rule"]) == (uplink, f"[adapter.{DEVICE}] over")


@promise("OVER-03")
@both_families
def test_who_is_handed_the_device_later_is_put_there_too(family: int) -> None:
    """Of which there is no news; and who opened it has it still."""
    with preferring("wan2") as lab, servers(lab, family):
        configure(lab, over("wan1"))
        with daemon(lab) as running, client(lab, family, "--handed"), routed(lab, via=DEVICE) as command:
            until_inside(command, "wan1")
            assert not misled(lab, command, "wan1")
            assert [one["how"] for one in running.ps()].count("rule") == 2


@promise("OVER-03")
def test_sockets_that_cannot_follow_are_told() -> None:
    """A child of its, without the device, holds the socket as well; `assign` would leave that, too."""
    with preferring("wan2") as lab, servers(lab), client(lab, 4, "--child"):
        configure(lab, over("wan1"))
        with daemon(lab) as running, routed(lab, via=DEVICE) as command:
            assert ": 1 shared with a process that stays" in running.log()
            assert not misled(lab, command, "wan2")


@promise("NEG-15")
@each_uplink
@both_families
def test_without_over_it_goes_by_main(uplink: str, family: int) -> None:
    with tunnelled("", uplink, family) as (lab, _, command):
        assert f"no outer packet by {uplink}" in misled(lab, command, uplink)
        assert not misled(lab, command, OTHER[uplink])


@promise("OVER-04")
@each_uplink
@both_families
def test_from_its_start_on_where_the_program_is_named(uplink: str, family: int) -> None:
    with preferring(OTHER[uplink]) as lab, servers(lab, family):
        script(lab)
        configure(lab, over(uplink, f'over_exe = "{PROGRAM}"'))
        with daemon(lab) as running, ExitStack() as stack:
            assert f"the outer packets of {DEVICE}" in rules(lab, "list", "--json").stdout
            assert "change it in /etc/procroute/config.toml" in refused(lab, "disable", "config.toml:2")
            lab.clear()
            stack.enter_context(client(lab, family, before=[PROGRAM]))
            assert set(outer(lab)) == {uplink}, "its hello went before it had the device"
            command = stack.enter_context(routed(lab, via=DEVICE))
            assert not misled(lab, command, uplink)
            (placed,) = (one for one in running.ps() if one["how"] == "rule")
            assert placed["rule"] == "/etc/procroute/config.toml:2"
            assert rules(lab, "apply").returncode == 0
            assert not misled(lab, command, uplink)


@promise("OVER-04")
def test_a_program_that_marks_its_socket_itself_lets_nothing_past() -> None:
    """By that it has lost the mark of its route, and main has chosen the address: the guard drops it."""
    with Lab(main="both") as lab, servers(lab):
        script(lab)
        configure(lab, over("wan1", f'over_exe = "{PROGRAM}"'))
        with daemon(lab), ExitStack() as stack:
            lab.clear()
            stack.enter_context(client(lab, 4, "--mark", "51820", before=[PROGRAM]))
            command = stack.enter_context(routed(lab, via=DEVICE))
            assert inside(command, 4) == "ETIMEDOUT"
            assert outer(lab) == {}
            (route,) = (
                r
                for r in json.loads(procroute(lab, "status", "--json").stdout)["routes"]
                if r["name"] == "wan1"
            )
            assert route["dropped"]["wan2"] > 0
            assert route["marks"]["lost"] > 0


@promise("NEG-15")
def test_without_the_program_named_its_first_packet_goes_by_main() -> None:
    with Lab(main="both") as lab, servers(lab):
        configure(lab, over("wan1"))
        with daemon(lab), ExitStack() as stack:
            lab.clear()
            stack.enter_context(client(lab))
            assert outer(lab)["wan2"] >= 1
            until_inside(stack.enter_context(routed(lab, via=DEVICE)), "wan1")


@promise("OVER-03", "OVER-05")
@both_families
def test_reload_begins_changes_and_ends_it(family: int) -> None:
    with tunnelled("", "wan1", family) as (lab, running, command):
        assert not misled(lab, command, "wan2")
        for uplink, text in (("wan1", over("wan1")), ("wan2", over("wan2")), ("wan1", over("wan1"))):
            configure(lab, text)
            assert ask(lab, "reload") == (0, "")
            assert not misled(lab, command, uplink)
        configure(lab, "")
        assert ask(lab, "reload") == (0, "")
        assert not misled(lab, command, "wan2")
        until(lambda: [one["route"] for one in running.ps()] == [DEVICE])


@promise("OVER-05")
@pytest.mark.parametrize("named", [False, True], ids=["found", "named"])
def test_while_it_changes_nothing_leaves_by_main(named: bool) -> None:
    """Main prefers an uplink that is neither's. named: and the program is started anew meanwhile."""
    more, before = ([f'over_exe = "{PROGRAM}"'], [PROGRAM]) if named else ([], [])
    with three() as lab, ExitStack() as stack:
        script(lab)
        configure(lab, over("wan1", *more))
        running = ExitStack() if named else stack
        with daemon(lab) as keeping:

            def on_route(way: str) -> bool:
                return [one["route"] for one in keeping.ps()] == [way]

            def leaves(way: str) -> bool:
                return set(outer(lab)) == {way}

            running.enter_context(client(lab, before=before))
            until(keeping.ps, what="who speaks for it is on his route")
            lab.clear()
            pinging = lab.popen(["ping", "-q", "-i", "0.002", "-I", DEVICE, "10.77.0.1"], stdout=-3)
            stack.callback(pinging.wait, 10)
            stack.callback(pinging.kill_session)
            for way in ("vpn0", "wan1") * 3:
                configure(lab, over(way, *more))
                asking = lab.popen([*PROCROUTE, "reload"], env=ENVIRONMENT)
                if named:
                    running.close()
                    running.enter_context(client(lab, before=before))
                assert asking.wait(20) == 0
                until(partial(on_route, way), 10)
                sent = outer(lab)
                assert not sent.get("wan2"), sent
                lab.clear()
                until(partial(leaves, way), 5, f"outer packets by {way} alone")
            running.close()


@promise("OVER-05")
def test_reload_lets_go_who_was_named() -> None:
    with Lab(main="both") as lab, servers(lab):
        script(lab)
        configure(lab, over("wan1", f'over_exe = "{PROGRAM}"'))
        with daemon(lab) as running, ExitStack() as stack:
            stack.enter_context(client(lab, before=[PROGRAM]))
            command = stack.enter_context(routed(lab, via=DEVICE))
            configure(lab, "# one line more\n" + over("wan1", f'over_exe = "{PROGRAM}"'))
            assert ask(lab, "reload") == (0, "")
            assert not misled(lab, command, "wan1")
            configure(lab, over("wan2"))
            assert ask(lab, "reload") == (0, "")
            assert not misled(lab, command, "wan2")
            configure(lab, "")
            assert ask(lab, "reload") == (0, "")
            until(lambda: [one["how"] for one in running.ps()] == ["run"])


@promise("OVER-02")
def test_one_process_for_two_tunnels_follows_the_first() -> None:
    with Lab(main="both") as lab, servers(lab), client(lab, 4, "--also", "vpn8"):
        configure(lab, over("wan1") + over("wan2").replace(DEVICE, "vpn8"))
        with daemon(lab) as running, routed(lab, via=DEVICE) as command:
            assert "speaks for vpn7 as well" in running.log()
            assert not misled(lab, command, "wan1")


@promise("OVER-06")
@both_families
def test_outer_packets_follow_where_the_route_fails_over(family: int) -> None:
    text = f'[route.lines]\nadapters = ["wan1", "wan2"]\nhold = 0.3\n{over("lines")}'
    with Lab(main="both") as lab, servers(lab, family), client(lab, family):
        configure(lab, text)
        with daemon(lab), routed(lab, via=DEVICE) as command:
            assert not misled(lab, command, "wan1")
            lab.wan1.carrier(False)
            until_inside(command, "wan2")
            assert not misled(lab, command, "wan2")
            lab.wan1.restore()
            until_inside(command, "wan1")
            assert not misled(lab, command, "wan1")


@promise("OVER-07")
@both_families
def test_stale_while_the_link_stays_up(family: int) -> None:
    """The uplink's other side is dead: the tunnel goes nowhere, and not by another uplink."""
    with tunnelled(over("wan1"), "wan1", family) as (lab, _, command):
        assert not misled(lab, command, "wan1")
        deafen(lab.wan1)
        lab.clear()
        assert {inside(command, f) for f in FAMILIES} == {"ETIMEDOUT"}
        assert set(outer(lab)) == {"wan1"}
        deafen(lab.wan1, False)
        assert not misled(lab, command, "wan1")


@promise("OVER-07")
@pytest.mark.parametrize("loss", ["down", "carrier", "gone"])
def test_without_a_way_nothing_leaves(loss: str) -> None:
    """Nor by a reload meanwhile, when its route could not be opened."""
    with tunnelled(over("wan1"), "wan1", 4) as (lab, _, command):
        assert not misled(lab, command, "wan1")
        LOSSES[loss](lab)
        for _ in range(2):
            lab.clear()
            assert "ETIMEDOUT" in {inside(command, f) for f in FAMILIES}
            assert "wan2" not in outer(lab)
            assert ask(lab, "reload")[0] == 0


_DEAF: Final = f"""table inet deaf {{
    chain in {{ type filter hook input priority 0; udp dport {PORT} drop; }}
}}
"""
_HEARS: Final = "table inet deaf\ndelete table inet deaf\n"
DEATHS: Final[dict[str, Callable[[Lab, bool], object]]] = {
    "peer": lambda lab, dead: lab.wan1.nft(_DEAF if dead else _HEARS),
    "uplink": lambda lab, dead: deafen(lab.wan1, dead),
}
"""What dies while all links stay up; False: it lives again. peer: its server, not the uplink before it."""


@promise("OVER-10", "OVER-07")
@both_families
@pytest.mark.parametrize("dies", DEATHS)
def test_a_check_of_the_tunnel_finds_it_stale(dies: str, family: int) -> None:
    """So a route that lists it goes on by another adapter, and back; what is outer stays where it is."""
    each = [kind_of_check("ping", inner) for inner in FAMILIES]
    check = checks(DEVICE, *each, interval=0.3, down=2)
    text = f'[route.best]\nadapters = ["{DEVICE}", "wan2"]\nhold = 0.3\n'
    with Lab(main="both") as lab, servers(lab, family), client(lab, family):
        configure(lab, text + check.replace(f"[adapter.{DEVICE}]\n", over("wan1"), 1))
        with daemon(lab), routed(lab, via="best") as command:
            until(lambda: found(lab, DEVICE)["state"] == "up", 15)
            until_inside(command, "wan1")
            lab.clear()
            DEATHS[dies](lab, True)
            until(lambda: found(lab, DEVICE)["state"] == "down", 15)
            until(lambda: by(command) == ["wan2", "wan2"], 10)
            assert set(outer(lab)) == {"wan1"}
            DEATHS[dies](lab, False)
            until_inside(command, "wan1", 20)


@promise("NEG-15")
def test_without_a_check_it_stays_where_it_is() -> None:
    text = f'[route.best]\nadapters = ["{DEVICE}", "wan2"]\nhold = 0.3\n'
    with Lab(main="both") as lab, servers(lab), client(lab):
        configure(lab, text + over("wan1"))
        with daemon(lab), routed(lab, via="best") as command:
            until_inside(command, "wan1")
            DEATHS["peer"](lab, True)
            lab.sh("sleep 2")
            assert {inside(command, family) for family in FAMILIES} == {"ETIMEDOUT"}


@promise("OVER-03")
def test_whom_a_person_has_placed_stays_there() -> None:
    with tunnelled("", "wan1", 4) as (lab, running, command):
        owner = lab.sh("grep -l '^iff:.vpn7' /proc/*/fdinfo/* 2>/dev/null | head -1").split("/")[2]
        assert ask(lab, "assign", owner, "--via", "wan2", "--existing", "reset")[0] == 0
        configure(lab, over("wan1"))
        assert ask(lab, "reload")[0] == 0
        assert not misled(lab, command, "wan2")
        assert {one["how"] for one in running.ps()} == {"assign", "run"}


@promise("OVER-09")
@each_uplink
def test_both_layers_are_explained_and_adapters_tell(uplink: str) -> None:
    with tunnelled(over(uplink), uplink, 4) as (lab, _, command):
        assert not misled(lab, command, uplink)
        told = json.loads(procroute(lab, "explain", pid_of(command), "192.0.2.80", "--json").stdout)
        assert {way["adapter"] for way in told["ways"] if not way["bound"]} == {DEVICE}
        (below,) = (finding["text"] for finding in told["findings"] if finding["id"] == "tunnel")
        assert below.startswith(f"{DEVICE} is a tunnel, whose outer packets are sent by ")
        assert f": by {uplink} (over {uplink}, mark 0x" in below
        facts = json.loads(procroute(lab, "adapters", "--json").stdout)["adapters"]
        assert {a["name"]: a["over"] for a in facts if a["over"]} == {DEVICE: uplink}
        assert f"over {uplink}" in procroute(lab, "adapters").stdout
        configure(lab, "")
        assert ask(lab, "reload") == (0, "")
        told = json.loads(procroute(lab, "explain", pid_of(command), "192.0.2.80", "--json").stdout)
        (below,) = (finding["text"] for finding in told["findings"] if finding["id"] == "tunnel")
        assert below.endswith(": by the machine's own way")


@promise("OVER-02")
def test_over_itself_by_another_name() -> None:
    with Lab(main="both") as lab, servers(lab), client(lab):
        lab.ip(f"link property add dev {DEVICE} altname home")
        configure(lab, over("home"))
        with daemon(lab) as running:
            assert f"config.toml:2: {DEVICE} over home: that is {DEVICE} itself" in running.log()
            configure(lab, over(DEVICE))
            status, said = ask(lab, "reload")
            assert status != 0
            assert f"leads back to itself: {DEVICE} over {DEVICE}" in said
