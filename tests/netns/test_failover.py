"""A route with several adapters leaves by the first that is a way out, and by none that it does not list."""

from __future__ import annotations

import json
from typing import Literal

import pytest

from procroute.lab import TCP, UDP, Lab
from procroute.lab.topology import OTHER_SERVER4, OTHER_SERVER6
from tests.netns.daemons import daemon, placed
from tests.netns.inhabitants import bystander, routed
from tests.netns.running import ENVIRONMENT, procroute, run, run_by, unchanged, until
from tests.netns.steadily import Steady
from tests.netns.traffic import FAMILIES, NO_WAY, SERVER, WAYS, astray, elsewhere, own_address
from tests.netns.uplinks import LOSSES, by, configured, failing_over, three, until_by

promise = pytest.mark.promise
HOLD = 0.5
RP: tuple[Literal[0, 1, 2], ...] = (0, 1, 2)


@promise("FAIL-01", "FAIL-02")
@pytest.mark.parametrize("rp_filter", RP)
@pytest.mark.parametrize("loss", ["down", "carrier", "addresses", "gateway"])
def test_the_next_adapter_is_taken(loss: str, rp_filter: Literal[0, 1, 2]) -> None:
    with (
        three(rp_filter) as lab,
        bystander(lab) as other,
        routed(lab, via="wan1,wan2") as command,
    ):
        assert by(command) == ["wan1", "wan1"]
        lab.clear()
        with Steady(lab, "wan1,wan2") as steady:
            LOSSES[loss](lab)
            until_by(command, "wan2", seconds=5)
            heard = steady.end()
        assert not elsewhere(lab, "wan1", "wan2")
        assert set(heard) <= {"wan1", "wan2", *NO_WAY, "ETIMEDOUT", "EPERM", "ECONNABORTED", "ENODEV"}, heard
        until(lambda: "wan1,wan2 leaves by wan2" in command.told())
        assert not [w for f in FAMILIES for way in WAYS for w in astray(lab, command, way, f, lab.wan2)]
        assert by(other) == ["wan2", "wan2"]
        lab.wan1.restore()


@promise("FAIL-01")
@pytest.mark.parametrize("rp_filter", RP)
def test_without_a_default_in_main(rp_filter: Literal[0, 1, 2]) -> None:
    with three(rp_filter) as lab, routed(lab, via="wan1,wan2") as command:
        for uplink in (lab.wan1, lab.wan2, lab.uplinks["vpn0"]):
            for family in FAMILIES:
                uplink.drop_gateway(family)
        until_by(command, "wan1")  # the reverse path is not main's any more, which the engine has to hear of
        assert not [w for f in FAMILIES for way in WAYS for w in astray(lab, command, way, f, lab.wan1)]
        lab.wan1.carrier(False)
        until_by(command, "wan2")
        assert not [w for f in FAMILIES for way in WAYS for w in astray(lab, command, way, f, lab.wan2)]


@promise("FAIL-01")
def test_in_the_order_of_the_list() -> None:
    with three() as lab, routed(lab, via="vpn0,wan1,wan2") as command:
        lab.clear()
        assert by(command) == ["vpn", "vpn"]
        lab.uplinks["vpn0"].carrier(False)
        until_by(command, "wan1")
        lab.wan1.carrier(False)
        until_by(command, "wan2")
        assert not elsewhere(lab, "vpn0", "wan1", "wan2")


@promise("FAIL-03")
def test_where_none_is_left_nothing_leaves_until_one_is_back() -> None:
    with three() as lab, routed(lab, via="wan1,wan2") as command:
        lab.wan1.carrier(False)
        until_by(command, "wan2")
        lab.wan2.carrier(False)
        until_by(command, "ENETUNREACH")
        lab.clear()
        heard = [command.ask(way, to=SERVER[f]) for f in FAMILIES for way in WAYS]
        assert all(one.error in NO_WAY or "unreachable" in one.error for one in heard), heard
        assert max(one.ms for one in heard) < 100
        assert not elsewhere(lab)
        lab.wan1.restore()
        until_by(command, "wan1")


@promise("FAIL-04")
def test_back_to_the_first_after_the_hold_time_and_not_before() -> None:
    with (
        three() as lab,
        configured(lab, failing_over("wan1", "wan2", hold=2)),
        routed(lab, via="several") as command,
    ):
        lab.wan1.carrier(False)
        until_by(command, "wan2")
        lab.wan1.restore()
        assert until_by(command, "wan1", seconds=6) > 1.5
        until(lambda: "wan1 has been a way out for 2 s" in command.told())


@promise("FAIL-04")
def test_a_link_that_flaps_does_not_flap_users() -> None:
    with (
        three() as lab,
        configured(lab, failing_over("wan1", "wan2", hold=2)),
        routed(lab, via="several") as command,
    ):
        for _ in range(40):
            lab.wan1.carrier(False)
            until(lambda: "NO-CARRIER" in lab.ip("link show wan1"), 2)
            lab.wan1.carrier(True)
            until(lambda: "NO-CARRIER" not in lab.ip("link show wan1"), 2)
        assert command.told().count(" leaves by ") == 1
        until_by(command, "wan1", seconds=6)


@promise("FAIL-05")
@pytest.mark.parametrize("family", FAMILIES)
def test_connections_go_on_by_the_old_adapter(family: Literal[4, 6]) -> None:
    with (
        three() as lab,
        configured(lab, failing_over("wan1", "wan2", hold=HOLD)),
        routed(lab, via="several") as command,
    ):
        lab.wan1.carrier(False)
        until_by(command, "wan2")
        for way in ("tcp", "udp", "unconnected"):
            assert command.ask(way, to=SERVER[family], keep=way).router == "wan2"
        lab.wan1.restore()
        until_by(command, "wan1", seconds=5)
        lab.clear()
        for way in ("tcp", "udp"):
            assert command.ask("again", name=way).said
        assert not elsewhere(lab, "wan2")
        sources = {p.source for p in lab.wan2.packets() if p.protocol in (TCP, UDP)}
        assert sources == {own_address(lab.wan2, family)}
        # What is tied to no address follows at once.
        lab.clear()
        assert command.ask("again", name="unconnected", to=SERVER[family]).said
        assert not elsewhere(lab, "wan1")


@promise("FAIL-06")
@pytest.mark.parametrize("family", FAMILIES)
def test_connections_are_ended_where_that_is_asked_for(family: Literal[4, 6]) -> None:
    text = failing_over("wan1", "wan2", hold=HOLD, existing='"reset"')
    with (
        three() as lab,
        configured(lab, text),
        bystander(lab) as other,
        routed(lab, via="several") as command,
    ):
        lab.wan1.carrier(False)
        until_by(command, "wan2")
        with routed(lab, via="wan2") as beside:
            for who in (command, other, beside):
                assert who.ask("tcp", to=SERVER[family], keep="it").router == "wan2"
            lab.wan1.restore()
            until_by(command, "wan1", seconds=5)
            until(lambda: command.ask("again", name="it").error in ("ECONNABORTED", "EPIPE", "ECONNRESET"), 2)
            for who in (other, beside):
                assert who.ask("again", name="it").said


@promise("FAIL-07")
def test_main_is_taken_where_that_is_asked_for_and_said_aloud() -> None:
    text = failing_over("wan1", "vpn0", hold=HOLD, on_down='"main"')
    with three() as lab, configured(lab, text), routed(lab, via="several") as command:
        assert by(command) == ["wan1", "wan1"]
        lab.wan1.carrier(False)
        until_by(command, "vpn")
        lab.uplinks["vpn0"].carrier(False)
        until_by(command, "wan2")
        assert not [w for f in FAMILIES for way in WAYS for w in astray(lab, command, way, f, lab.wan2)]
        until(lambda: "leaves by the machine's own way, unprotected" in command.told())
        (shown,) = json.loads(procroute(lab, "status", "--json").stdout)["routes"]
        assert (shown["adapter"], shown["state"]) == ("", "main")
        assert "by the machine's own way" in " ".join(procroute(lab, "status").stdout.split())
        lab.wan1.restore()
        until_by(command, "wan1", seconds=5)
        lab.clear()
        assert [by(command, way) for way in ("tcp", "udp", "unconnected")] == [["wan1", "wan1"]] * 3
        lab.settle()
        # What the kernel answers for a connection that is gone goes by main (closed-sockets of status).
        assert all(p.of_the_closed or p.control for p in lab.wan2.packets())


@promise("FAIL-07")
def test_several_that_block_stay_where_they_are() -> None:
    text = failing_over("wan1", "wan2", on_down='"block"')
    with three() as lab, configured(lab, text), routed(lab, via="several") as command:
        lab.wan1.carrier(False)
        until_by(command, "ENETUNREACH")
        lab.clear()
        assert by(command) == ["ENETUNREACH", "ENETUNREACH"]
        assert not elsewhere(lab)
        lab.wan1.restore()
        until_by(command, "wan1")


@promise("FAIL-08")
def test_the_daemon_does_it_and_tells_everybody() -> None:
    with three() as lab, daemon(lab) as running, placed(lab, 1000, via="wan1,wan2") as command:
        (shown,) = running.ps()
        assert (shown["route"], shown["adapter"]) == ("wan1,wan2", "wan1")
        lab.wan1.carrier(False)
        until_by(command, "wan2")
        until(lambda: running.ps()[0]["adapter"] == "wan2", 2)
        assert "wan1 has no carrier: wan1,wan2 leaves by wan2" in running.log()
        # Another one agrees with what is written down.
        running.kill()
        lab.wan1.restore()
        with daemon(lab) as again:
            assert by(command) == ["wan2", "wan2"]
            assert again.ps()[0]["adapter"] == "wan2"
            lab.wan2.carrier(False)
            until_by(command, "wan1")


@promise("FAIL-09")
def test_what_cannot_be_a_list_is_refused() -> None:
    with Lab(main="both") as lab, unchanged(lab):
        for words, said in (
            ("wan1,wan1", "wan1 is there twice"),
            ("wan1,", "names of adapters with one comma between"),
            ("wan1 wan2", "names of adapters with one comma between"),
            ("a,b,c,d,e", "at most 4 adapters"),
            ("nosuch,nothere", "there is no adapter nosuch"),
            ("wan1,lo", "is the loopback"),
        ):
            done = run(lab, words, "true")
            assert done.returncode in (2, 125), words
            assert said in done.stderr
        done = lab.run([*run_by("wan1,wan2", "--gateway4", OTHER_SERVER4), "true"], env=ENVIRONMENT)
        assert done.returncode == 125
        assert "a gateway is one adapter's" in done.stderr


@promise("FAIL-01")
def test_an_adapter_that_is_not_there_is_passed_over_and_said() -> None:
    with three() as lab, routed(lab, via="wg0,wan1") as command:
        assert by(command) == ["wan1", "wan1"]
        until(lambda: "wg0 is gone: passed over now" in command.told())


@promise("NEG-08")
@pytest.mark.parametrize("family", FAMILIES)
def test_an_engine_that_is_stopped_does_not_switch(family: Literal[4, 6]) -> None:
    """So that the tests above would notice."""
    with three() as lab, routed(lab, via="wan1,wan2") as command:
        command.freeze()
        lab.wan1.carrier(False)
        lab.settle()
        heard = command.ask("tcp", to=OTHER_SERVER6 if family == 6 else OTHER_SERVER4)
        assert heard.router != "wan2"
