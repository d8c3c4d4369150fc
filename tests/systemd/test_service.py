"""The unit files that are shipped: how the daemon comes, goes and comes back by them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from subprocess import PIPE

import pytest

from procroute.lab.patience import FACTOR
from tests.lab.systemd_box import SystemdBox
from tests.netns.holding import first, programs
from tests.netns.inhabitants import bystander
from tests.netns.ruled import FOLDER
from tests.netns.running import ENVIRONMENT, PROCROUTE, ours, until
from tests.netns.traffic import FAMILIES, astray
from tests.systemd.daemons import AS_ADA, SOCKET, UNIT, daemon, placed
from tests.systemd.services import Service, service

promise = pytest.mark.promise


@pytest.fixture
def served(box: SystemdBox) -> Iterator[Service]:
    """Installed, and asked for by nobody yet; nothing of ours is left after it."""
    with service(box) as served:
        yield served
    until(lambda: not ours(box), what="the end of what is ours")


@promise("SERVICE-03")
def test_it_is_active_when_it_serves(served: Service) -> None:
    served.start()
    assert served.state() == "active"
    assert served.box.unit_property(UNIT, "Type") == "notify"
    assert "ready" in served.log()
    assert served.ps() == []
    served.box.run(["systemctl", "reload", UNIT], check=True)
    assert "was read again" in served.log()


@promise("SERVICE-03", "SERVICE-02")
def test_who_asks_starts_it(served: Service) -> None:
    assert served.state() == "inactive"
    with placed(served.box, AS_ADA) as command:
        assert not [w for f in FAMILIES for w in astray(served.box, command, "tcp", f, served.box.wan1)]
        assert served.state() == "active"
        assert (
            served.box.sh("stat -c '%U:%G %a' /run/procroute/procroute.sock").strip() == "root:procroute 660"
        )


@promise("SERVICE-03")
def test_who_asks_meanwhile_is_answered_by_the_next_one(served: Service) -> None:
    served.start()
    before = served.main()
    asking = []
    for _ in range(4):
        served.box.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT])
        asking.append(served.box.popen([*PROCROUTE, "ps", "--json"], env=ENVIRONMENT, stdout=PIPE))
    answers = [one.communicate(timeout=60)[0] for one in asking]
    # Those before may have been taken by a daemon that was killed then.
    assert asking[-1].returncode == 0, answers
    served.until_another(before)
    assert served.ps() == []


@promise("SERVICE-15")
def test_who_asks_is_told_what_is_wrong_with_the_configuration(served: Service) -> None:
    """At once, and not after the client's 30 s; once it is mended the daemon is there by itself."""
    box = served.box
    place = "/etc/procroute/config.toml"
    box.sh(f"mkdir -p /etc/procroute; printf '[route.a]\nvia = 7\n' > {place}")
    try:
        for _ in range(3):
            began = time.monotonic()
            done = box.run([*PROCROUTE, "ps"], env=ENVIRONMENT)
            assert (done.returncode, done.stdout) == (125, "")
            assert f"{place}:2: " in done.stderr
            assert "hint: " in done.stderr
            assert time.monotonic() - began < 5 * FACTOR
            time.sleep(2)
        until(lambda: f"{place}:2: " in served.log(), 5, "what the log has")
    finally:
        box.sh(f"rm {place}")
    until(lambda: served.state() == "active", 10, "the daemon")
    assert served.ps() == []


@promise("SERVICE-03", "SERVICE-04")
@pytest.mark.parametrize("how", ["restart", "stop", "crash", "hang"])
def test_what_is_routed_goes_on(box: SystemdBox, how: str) -> None:
    with service(box, "WatchdogSec=2\n" if how == "hang" else "") as served:
        served.start()
        with (
            bystander(box) as other,
            placed(box, AS_ADA) as command,
            placed(box, AS_ADA, via="wan2") as second,
        ):
            before, numbers = served.main(), [one["id"] for one in served.ps()]
            box.clear()
            if how == "restart":
                box.run(["systemctl", "restart", UNIT], check=True)
            elif how == "stop":
                box.run(["systemctl", "stop", UNIT, SOCKET], check=True)
                for family in FAMILIES:
                    assert not astray(box, command, "tcp", family, box.wan1)
                box.run(["systemctl", "start", SOCKET], check=True)
                served.start()
            else:
                box.run(
                    [
                        "systemctl",
                        "kill",
                        "--kill-whom=main",
                        f"--signal={'KILL' if how == 'crash' else 'STOP'}",
                        UNIT,
                    ]
                )
            served.until_another(before)
            for family in FAMILIES:
                assert not astray(box, command, "tcp", family, box.wan1)
                assert not astray(box, second, "udp", family, box.wan2)
                assert not astray(box, other, "tcp", family, box.wan2)
            assert [one["id"] for one in served.ps()] == numbers


@promise("SERVICE-05")
def test_how_exposed_it_is(served: Service) -> None:
    """`systemd-analyze security` of this release; the table is in docs/decisions/0017-service.md."""
    said = served.box.sh(f"systemd-analyze security --no-pager {UNIT}")
    overall = float(said.rpartition("Overall exposure level for")[2].split(":")[1].split()[0])
    print(said)
    assert overall <= 4.0, said


@promise("SERVICE-05", "RULE-40")
@pytest.mark.parametrize("folder", ["/home/ada", "/tmp", "/opt"])
def test_programs_are_held_wherever_they_lie(box: SystemdBox, folder: str) -> None:
    """In homes and in /tmp, too, which a sandbox likes to hide; by a holder that goes before all others."""
    programs(box)
    with daemon(box) as running:
        for family in FAMILIES:
            program = f"{folder}/first{family}"
            box.sh(f"mkdir -p {folder} {FOLDER}; cp {first(family)} {program}")
            box.path(f"{FOLDER}/50-here.toml").write_text(f'[[rule]]\nexe = "{program}"\nvia = "wan1"\n')
            running.ask("reload")
            box.clear()
            for _ in range(5):
                box.run([program], check=True)
            box.settle()
            assert [name for name, uplink in box.uplinks.items() if uplink.packets()] == ["wan1"]
            box.sh(f"rm {program}")
        holder = box.sh("pgrep -f procroute.holder").split()[0]
        assert "SCHED_RR" in box.sh(f"chrt -p {holder}")
        box.sh(f"rm -r {FOLDER}")
        running.ask("reload")


@promise("SERVICE-09")
def test_the_journal_keeps_levels_and_fields(served: Service) -> None:
    served.start()
    box = served.box

    this = f"_SYSTEMD_INVOCATION_ID={box.unit_property(UNIT, 'InvocationID')}"

    def said(*which: str) -> str:
        box.run(["journalctl", "--sync"])
        return box.run(["journalctl", "--no-pager", "-o", "cat", this, *which]).stdout

    with placed(box, AS_ADA):
        assert "assignment" in said("PROCROUTE_ROUTE=wan1", "PROCROUTE_UID=1000")
        assert "assignment" not in said("PROCROUTE_ROUTE=wan2")
        assert "assignment" not in said("-p", "notice")
        box.run(["nft", "flush", "ruleset"], check=True)
        until(lambda: "repaired in" in said("-p", "notice"), what="a notice of the repair")
        assert "repaired in" not in said("-p", "warning")
        assert "procrouted: " not in said("SYSLOG_IDENTIFIER=procrouted")
        (its,) = (one for one in served.ps() if one["route"] == "wan1")
        (first, *_) = its["processes"]
        unit = its["cgroup"].rpartition("/")[2]
        # What journald adds to OBJECT_PID=, arguments among it, is nobody's who may read the log.
        assert "assignment" in said(f"PROCROUTE_PID={first['pid']}", f"OBJECT_SYSTEMD_USER_UNIT={unit}")
        assert "OBJECT_CMDLINE" not in said("-o", "export")
    box.run(["systemd-run", "--quiet", "--unit=backup", "sleep", "1000"], check=True)
    served.ask("assign", "--unit", "backup", "--via", "wan1")
    box.run(["journalctl", "--sync"])
    assert "backup.service" in box.sh("journalctl --no-pager -o cat -F OBJECT_SYSTEMD_UNIT")
    assert "(assign): sleep" in box.sh("journalctl --no-pager -o cat -u backup")
    box.run(["systemctl", "stop", "backup"])
