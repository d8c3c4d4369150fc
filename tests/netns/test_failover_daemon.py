"""Routes with several adapters under the daemon: who may, who is told, and what a crash leaves."""

from __future__ import annotations

import contextlib
import json
import random
import sys

import pytest

from tests.netns.daemons import ALICE, as_user, daemon, for_users, placed
from tests.netns.inhabitants import routed
from tests.netns.ruled import rule, script, write
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, until
from tests.netns.test_following_adapters import drawer, plug, unplug
from tests.netns.traffic import FAMILIES, SERVER, elsewhere
from tests.netns.uplinks import CONFIG, by, configured, failing_over, three, until_by

promise = pytest.mark.promise


@promise("FAIL-08", "ACCESS-01")
def test_a_user_needs_every_adapter_of_the_list() -> None:
    access = '[access."*"]\nadapters = ["wan1"]\n'
    with three() as lab, configured(lab, access), daemon(lab), for_users(lab) as python:
        words = [*as_user(ALICE), python, "-m", "procroute", "run", "--via"]
        done = lab.run([*words, "wan1,wan2", "--", "true"], env=ENVIRONMENT)
        assert done.returncode == 125
        assert "you may not use wan2; yours: wan1" in done.stderr


@promise("FAIL-08")
def test_it_is_told_to_who_watches_and_explained() -> None:
    with three() as lab, daemon(lab) as running, placed(lab, 0, via="wan1,wan2") as command:
        watching = lab.popen([*PROCROUTE, "watch", "--json"], env=ENVIRONMENT, stdout=-1)
        assert watching.stdout
        assert json.loads(watching.stdout.readline())["event"] == "watching"
        lab.wan1.carrier(False)
        until_by(command, "wan2")
        event = json.loads(watching.stdout.readline())
        watching.kill_session()
        watching.wait(10)
        watching.stdout.close()
        assert (event["event"], event["route"], event["adapter"]) == ("switched", "wan1,wan2", "wan2")
        assert event["why"] == "wan1 has no carrier: wan1,wan2 leaves by wan2"
        pid = running.ps()[0]["processes"][0]["pid"]
        told = json.loads(procroute(lab, "explain", str(pid), "--json").stdout)
        assert {"id": "failover", "text": "wan1 has no carrier: passed over now"} in told["caveats"]
        assert {way["adapter"] for way in told["ways"] if not way["bound"]} == {"wan2"}
        shown = json.loads(procroute(lab, "status", "--json").stdout)["routes"]
        assert [(route["name"], route["adapter"]) for route in shown] == [("wan1,wan2", "wan2")]
        facts = json.loads(procroute(lab, "adapters", "--json").stdout)["adapters"]
        assert [a["name"] for a in facts if a["routes"]] == ["wan2"]


@promise("FAIL-08")
def test_a_switch_of_ours_is_no_repair() -> None:
    with three() as lab, configured(lab, failing_over("wan1", "wan2", hold=0)):
        with daemon(lab) as running, placed(lab, 0, via="several") as command:
            for _ in range(5):
                lab.wan1.carrier(False)
                until_by(command, "wan2")
                lab.wan1.restore()
                until_by(command, "wan1")
            until(lambda: running.log().count(" leaves by ") == 10)
            assert "repaired" not in running.log()
            lab.sh("ip -4 rule del preference 4401 protocol 112")
            until(lambda: "repaired" in running.log())


@promise("FAIL-04", "FAIL-08")
def test_it_goes_back_though_nothing_more_is_heard() -> None:
    """wan1 is set down and up again, and what main says of it with it: that is looked at as a repair is."""
    with three() as lab, configured(lab, failing_over("wan1", "vpn0", hold=0.2)):
        with daemon(lab), placed(lab, 0, via="several") as command:
            for _ in range(3):
                lab.wan1.down()
                until_by(command, "vpn")
                lab.sh("sleep 0.5")
                lab.wan1.restore()
                until_by(command, "wan1")


@promise("FAIL-08", "KILL-01")
def test_killed_in_the_middle_of_a_switch() -> None:
    text = failing_over("wan1", "wan2", hold=0)
    with three() as lab, configured(lab, text):
        with contextlib.ExitStack() as stack:
            with daemon(lab) as running:
                command = stack.enter_context(placed(lab, 0, via="several"))
                running.kill()
            for _ in range(6):
                with daemon(lab) as running:
                    lab.wan1.restore()
                    until_by(command, "wan1", seconds=5)
                    lab.clear()
                    lab.wan1.carrier(False)
                    until(lambda: "NO-CARRIER" in lab.ip("link show wan1"), 2)
                    lab.sh(f"sleep {random.uniform(0, 0.04):.3f}")
                    running.kill()
                by(command)
                with daemon(lab):
                    until_by(command, "wan2")
                assert not elsewhere(lab, "wan1", "wan2")
            with daemon(lab):
                lab.wan1.restore()
                until_by(command, "wan1", seconds=5)


@promise("FAIL-06", "FAIL-08")
def test_what_another_part_of_the_daemon_switches_at_its_start_is_told_all_the_same() -> None:
    """The route is opened for a rule before the keeper has ever looked."""
    with three() as lab, configured(lab, failing_over("wan1", "wan2", existing='"reset"')):
        write(lab, rule(f'exe = "{script(lab)}"', way='via = "several"'))
        with contextlib.ExitStack() as stack:
            with daemon(lab) as running:
                command = stack.enter_context(placed(lab, 0, via="several"))
                for family in FAMILIES:
                    assert command.ask("tcp", to=SERVER[family], keep=f"it{family}").router == "wan1"
                running.kill()
            lab.wan1.carrier(False)
            with daemon(lab, sys.executable, "-m", "tests.netns.late_keeper") as running:
                until_by(command, "wan2")
                assert " leaves by " not in running.log(), "the keeper was first: this shows nothing"
                until(lambda: running.ps()[0]["adapter"] == "wan2", 5)
                assert "wan1 has no carrier: " in running.log()
                ended = {"ECONNABORTED", "EPIPE", "ECONNRESET"}
                until(
                    lambda: {command.ask("again", name=f"it{family}").error for family in FAMILIES} <= ended,
                    2,
                )
        assert not elsewhere(lab, "wan1", "wan2")


@promise("FAIL-02", "FAIL-04")
def test_deleted_and_there_again_with_another_ifindex() -> None:
    with (
        three() as lab,
        drawer(lab) as pid,
        configured(lab, failing_over("wan1", "wan2", hold=0.5)),
        routed(lab, via="several") as command,
    ):
        lab.clear()
        unplug(lab, pid)
        until_by(command, "wan2")
        until(lambda: "wan1 is gone" in command.told())
        plug(lab, pid)
        until_by(command, "wan1", seconds=5)
        assert not elsewhere(lab, "wan1", "wan2")


@promise("FAIL-12")
def test_people_are_told_the_name_that_the_configuration_has() -> None:
    with three() as lab, configured(lab, failing_over("wan1", "wan2", hold=1)):
        with daemon(lab) as running, placed(lab, 0, via="several") as command:
            (found,) = running.ps()
            assert (found["route"].partition("~")[0], found["named"]) == ("wan1,wan2", "several")
            (shown,) = json.loads(procroute(lab, "status", "--json").stdout)["routes"]
            assert (shown["name"], shown["named"]) == (found["route"], "several")
            assert " several " in procroute(lab, "status").stdout
            watching = lab.popen([*PROCROUTE, "watch", "--json"], env=ENVIRONMENT, stdout=-1)
            assert watching.stdout
            assert json.loads(watching.stdout.readline())["assignments"][0]["named"] == "several"
            watching.kill_session()
            watching.wait(10)
            watching.stdout.close()
            lab.wan1.carrier(False)
            until_by(command, "wan2")
            until(lambda: "wan1 has no carrier: several leaves by wan2" in running.log())
            lab.path(CONFIG).write_text(failing_over("wan1", "wan2", hold=1).replace("several", "lines"))
            assert procroute(lab, "reload").returncode == 0
            assert running.ps()[0]["named"] == "lines"
            assert " lines " in procroute(lab, "ps").stdout
            with placed(lab, 0, via="wan1,wan2"):
                assert [one["named"] for one in running.ps()] == ["lines", None]
            running.kill()
            with daemon(lab) as following:
                assert following.ps()[0]["named"] == "lines"
                following.kill()
            with routed(lab, via="lines") as beside:
                lab.wan1.restore()
                until(lambda: "lines leaves by wan1" in beside.told(), 10)
