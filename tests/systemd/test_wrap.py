"""`procroute unit wrap`: by its route from the first packet of each start on, or not at all."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator

import pytest

from procroute.core.service_texts import RUN, installed
from procroute.lab import UDP
from procroute.lab.topology import VPN
from tests.lab.systemd_box import ADA, SYSTEMD, Suite, SystemdBox
from tests.netns.holding import busy
from tests.netns.running import ENVIRONMENT, PROCROUTE, ROOT, ours, until
from tests.netns.traffic import SERVER
from tests.systemd.daemons import SOCKET
from tests.systemd.daemons import UNIT as DAEMON
from tests.systemd.services import Service, service
from tests.systemd.wrapped import (
    AGAIN_AND_AGAIN,
    ANCHOR,
    DROP_IN,
    FOLDER,
    SEND,
    SPEAK,
    STAYING,
    UNIT,
    listed,
    out_by,
    systemctl,
    unit,
    units,
    until_started,
    wrap,
)

promise = pytest.mark.promise
NOTHING = {4: 0, 6: 0}


@pytest.fixture
def served(box: SystemdBox) -> Iterator[Service]:
    """The daemon by its unit; nothing of ours is left after the test."""
    with service(box) as served:
        yield served
        served.start()  # where it was stopped: it takes away what is left
        with contextlib.suppress(AssertionError):
            until(lambda: not {*ours(box)} - {"files"}, 15)
        assert not {*(left := ours(box))} - {"files"}, left


def meddle(box: SystemdBox, how: str) -> None:
    """What others do while units start."""
    for _ in range(3):
        until_started(box, UNIT, 2)
        if how == "kill":
            systemctl(box, "kill", "--kill-whom=main", "--signal=KILL", DAEMON)
        elif how == "flush":
            box.run(["systemd-run", "--quiet", "--wait", "nft", "flush", "ruleset"], check=True)
        elif how != "nothing":
            words = [how, DAEMON] if how in ("restart", "stop") else [how]
            box.run(["systemctl", *words], check=True)


@promise("UNIT-12")
@pytest.mark.parametrize(
    "how", ["nothing", "restart", "stop", "kill", "flush", "daemon-reload", "daemon-reexec"]
)
def test_each_start_is_routed_from_its_first_packet_on(served: Service, how: str) -> None:
    box = served.box
    with units(box, {UNIT: AGAIN_AND_AGAIN}):
        wrap(box, UNIT)
        box.clear()
        with busy(box):
            systemctl(box, "start", "--no-block", UNIT)
            meddle(box, how)
            until_started(box, UNIT, 5)
        assert out_by(box, "wan2") == NOTHING
        assert min(out_by(box, "wan1").values()) >= 3 * 10
        assert systemctl(box, "stop", UNIT).returncode == 0


@promise("UNIT-12")
@pytest.mark.parametrize("how", ["stop", "restart", "kill"])
def test_who_waits_for_others_finds_its_route_still_there(served: Service, how: str) -> None:
    """Its anchor is there long before. With nobody in the slice a daemon that ends would let the route go."""
    box = served.box
    waiting = (*STAYING, "[Unit]", "Wants=probed-slow.service", "After=probed-slow.service")
    wait = "for i in $$(seq 600); do test -e /run/probed && break; sleep 0.1; done"
    some = {UNIT: waiting, "probed-slow.service": ("Type=oneshot", f"ExecStart=/bin/sh -c '{wait}'")}
    with units(box, some):
        wrap(box, UNIT)
        box.clear()
        systemctl(box, "start", "--no-block", UNIT)
        until(lambda: box.unit_property(ANCHOR, "ActiveState") == "active", what="the anchor")
        if how == "kill":
            systemctl(box, "kill", "--kill-whom=main", "--signal=KILL", DAEMON)
        else:
            systemctl(box, how, DAEMON)
        assert box.unit_property(UNIT, "ActiveState") not in ("active", "activating")
        box.sh("touch /run/probed")
        until(lambda: min(out_by(box, "wan1").values()) >= 2, what="its packets")
        assert out_by(box, "wan2") == NOTHING
    box.sh("rm /run/probed")


@promise("UNIT-12")
def test_isolating_another_target_changes_nothing(served: Service) -> None:
    box = served.box
    with units(box, {UNIT: AGAIN_AND_AGAIN}):
        wrap(box, UNIT)
        target = f"[Unit]\nRequires=multi-user.target\nWants={UNIT}\nAllowIsolate=yes\n"
        box.path(f"{FOLDER}/probed.target").write_text(target)
        systemctl(box, "daemon-reload")
        box.clear()
        systemctl(box, "start", "--no-block", UNIT)
        until_started(box, UNIT, 3)
        systemctl(box, "isolate", "--no-block", "probed.target")
        until(lambda: box.unit_property("probed.target", "ActiveState") == "active", 30, "the target")
        until_started(box, UNIT, 5)
        assert out_by(box, "wan2") == NOTHING
        systemctl(box, "stop", "probed.target")


@promise("NEG-17")
def test_without_the_anchor_that_would_be_noticed(served: Service) -> None:
    box = served.box
    with units(box, {UNIT: AGAIN_AND_AGAIN}):
        wrap(box, UNIT)
        its = box.path(DROP_IN)
        its.write_text("".join(line for line in its.read_text().splitlines(True) if ANCHOR not in line))
        systemctl(box, "daemon-reload")
        box.clear()
        systemctl(box, "start", "--no-block", UNIT)
        until(lambda: min(out_by(box, "wan2").values()) > 0, what="what leaves by main")
        systemctl(box, "stop", UNIT)
        box.run(["systemctl", "stop", "procroute.slice"])


@promise("UNIT-12")
def test_a_template_and_one_of_its_instances(served: Service) -> None:
    box = served.box
    with units(box, {"probed@.service": STAYING}):
        wrap(box, "probed@")
        wrap(box, "probed@two", via="wan2")
        box.clear()
        systemctl(box, "start", "probed@one")
        until(lambda: min(out_by(box, "wan1").values()) >= 2, what="its packets")
        assert out_by(box, "wan2") == NOTHING
        systemctl(box, "start", "probed@two")
        assert sorted((row["unit"], row["route"], row["now"]) for row in listed(box)) == [
            ("probed@.service", "wan1", "at its next start"),
            ("probed@one.service", "wan1", "routed"),
            ("probed@two.service", "wan2", "routed"),
        ]
        assert "systemctl try-restart 'probed@*.service'" in unit(box, "unwrap", "probed@").stderr
        assert unit(box, "unwrap", "probed@two").returncode == 0


@promise("UNIT-15")
@pytest.mark.parametrize(
    ("alias", "of", "started"),
    [
        ("probed-as@.service", "probed@.service", "probed-as@one.service"),
        ("probed-as@one.service", "probed@one.service", "probed-as@one.service"),
        ("probed-as.service", UNIT, "probed-as.service"),
    ],
)
def test_an_alias_is_wrapped_by_the_units_own_name(
    served: Service, alias: str, of: str, started: str
) -> None:
    box = served.box
    with units(box, {of.replace("@one", "@"): STAYING}):
        box.sh(f"ln -s {of.replace('@one', '@') if '@' in alias else of} {FOLDER}/{alias}")
        systemctl(box, "daemon-reload")
        assert wrap(box, alias).split() == [f"{FOLDER}/{of}.d/50-procroute.conf", f"{FOLDER}/{ANCHOR}"]
        box.clear()
        assert systemctl(box, "start", started).returncode == 0
        until(lambda: min(out_by(box, "wan1").values()) >= 2, what="its packets")
        assert out_by(box, "wan2") == NOTHING
        assert {(row["unit"], row["now"]) for row in listed(box)} >= {(of.replace("@.", "@one."), "routed")}
        assert unit(box, "unwrap", alias).stdout.split() == [
            f"{FOLDER}/{of}.d/50-procroute.conf",
            f"{FOLDER}/{ANCHOR}",
        ]
        assert listed(box) == []
        systemctl(box, "stop", started)


@promise("UNIT-13")
@pytest.mark.parametrize("how", ["nothing", "restart", "kill", "daemon-reload"])
def test_a_unit_of_a_users_manager(served: Service, how: str) -> None:
    box = served.box
    with units(box, {UNIT: AGAIN_AND_AGAIN}, ada=True):
        wrap(box, UNIT, ada=True)
        box.clear()
        systemctl(box, "start", "--no-block", UNIT, ada=True)
        for _ in range(2):
            until_started(box, UNIT, 3, ada=True)
            if how in ("restart", "kill"):
                systemctl(box, *(["restart"] if how == "restart" else ["kill", "--signal=KILL"]), DAEMON)
            else:
                systemctl(box, "daemon-reload", ada=True)
        until_started(box, UNIT, 3, ada=True)
        assert out_by(box, "wan2") == NOTHING
        assert min(out_by(box, "wan1").values()) >= 3 * 9
        systemctl(box, "stop", UNIT, ada=True)
        assert unit(box, "wrap", "--via", "wan1", "--strict", UNIT, ada=True).returncode == 2


@promise("UNIT-14")
def test_who_came_into_the_group_after_her_login_is_told(served: Service) -> None:
    """Her manager gives its units the groups that she had when it was started."""
    box = served.box
    box.sh("gpasswd --delete ada procroute || true")
    older = ["setpriv", "--reuid=ada", "--regid=ada", "--clear-groups", *PROCROUTE, "ps"]
    with units(box, {UNIT: STAYING}, ada=True):
        done = unit(box, "wrap", "--via", "wan1", UNIT, ada=True)
        assert "you are not in the group procroute" in done.stderr
        assert "sudo usermod -aG procroute" in box.run(older, env=ENVIRONMENT).stderr
        box.sh("usermod -aG procroute ada")
        done = unit(box, "wrap", "--dry-run", "--via", "wan1", UNIT, ada=True)
        assert "your manager is older" in done.stderr
        assert "log out and in again" in box.run(older, env=ENVIRONMENT).stderr
        assert systemctl(box, "start", UNIT, ada=True).returncode != 0
        box.sh(f"systemctl restart user@{ADA}")
        assert "your manager" not in unit(box, "wrap", "--via", "wan1", UNIT, ada=True).stderr
        assert systemctl(box, "start", UNIT, ada=True).returncode == 0


@promise("UNIT-14")
def test_while_nobody_can_route_it_it_does_not_start(served: Service) -> None:
    box = served.box
    with units(box, {UNIT: STAYING}):
        wrap(box, UNIT)
        systemctl(box, "stop", SOCKET, DAEMON)
        systemctl(box, "mask", SOCKET, DAEMON)
        box.clear()
        try:
            assert systemctl(box, "start", UNIT).returncode != 0
            assert out_by(box, "wan1") == out_by(box, "wan2") == NOTHING
        finally:
            systemctl(box, "unmask", SOCKET, DAEMON)
        assert systemctl(box, "start", UNIT).returncode == 0
        assert served.state() == "active"
        assert out_by(box, "wan2") == NOTHING


@promise("UNIT-14")
def test_what_was_let_go_is_routed_at_its_next_start(served: Service) -> None:
    box = served.box
    with units(box, {UNIT: STAYING}):
        wrap(box, UNIT)
        systemctl(box, "start", UNIT)
        for one in served.ps():
            served.ask("release", f"%{one['id']}")
        until(lambda: box.unit_property(ANCHOR, "ActiveState") == "failed", what="the anchor's end")
        assert box.unit_property(UNIT, "ActiveState") == "active"
        assert [row["now"] for row in listed(box)] == ["restart it"]
        box.clear()
        assert systemctl(box, "restart", UNIT).returncode == 0
        until(lambda: min(out_by(box, "wan1").values()) >= 2, what="its packets")
        assert out_by(box, "wan2") == NOTHING


@promise("UNIT-14", "CLEAN-04")
@pytest.mark.parametrize("ada", [False, True], ids=["", "hers"])
def test_a_forced_cleanup_lets_go_who_runs_and_no_start_after_it(served: Service, ada: bool) -> None:
    """What leaves by main is of who was moved; each later start is routed, or none."""
    box = served.box
    sends = f"{sys.executable} -S {ROOT}/tests/systemd/says_where.py /run/said"
    to = " ".join(SERVER.values())
    lines = (
        *(f"{when}={sends} 0 {to}" for when in ("ExecCondition", "ExecStartPre")),
        f"ExecStart={sends} 1 {to}",
        *AGAIN_AND_AGAIN[-2:],
    )
    with units(box, {UNIT: lines}, ada=ada):
        wrap(box, UNIT, ada=ada)
        box.sh(": >/run/said; chmod 666 /run/said")  # for her to write to
        systemctl(box, "start", "--no-block", UNIT, ada=ada)
        for _ in range(3):
            until_started(box, UNIT, 2, ada=ada)
            box.sh(": >/run/said")
            box.clear()
            done = box.run([*PROCROUTE, "cleanup", "--force"], env=ENVIRONMENT)
            assert done.returncode == 0, done.stderr
            until_started(box, UNIT, 2, ada=ada)
            said = [line.split() for line in box.sh("cat /run/said").splitlines()]
            places = {(int(family), int(port)): cgroup for family, port, cgroup in said}
            by_main = [p for p in box.uplinks["wan2"].packets(protocol=UDP) if p.destination_port == 7000]
            started = [
                p for p in by_main if "procroute" in places.get((p.family, p.source_port), "procroute")
            ]
            assert not started, (started, said)
            box.clear()
            until_started(box, UNIT, 2, ada=ada)
            assert out_by(box, "wan2") == NOTHING
            assert min(out_by(box, "wan1").values()) >= 3
        systemctl(box, "stop", UNIT, ada=ada)


@promise("UNIT-15")
def test_it_is_written_once_shown_before_and_taken_back(served: Service) -> None:
    box = served.box
    with units(box, {UNIT: STAYING}):
        before = box.sh(f"ls -R {FOLDER}")
        shown = wrap(box, "--dry-run", "--strict", "--dns", "192.0.2.53", "probed")
        assert f"+++ {DROP_IN}" in shown
        assert "+Route=wan1 --strict --dns 192.0.2.53" in shown
        assert box.sh(f"ls -R {FOLDER}") == before
        systemctl(box, "start", UNIT)
        assert wrap(box, "probed").split() == [DROP_IN, f"{FOLDER}/{ANCHOR}"]
        assert wrap(box, "probed") == ""
        (row,) = listed(box)
        assert (row["unit"], row["route"], row["state"], row["now"]) == (UNIT, "wan1", "active", "restart it")
        systemctl(box, "restart", UNIT)
        (row,) = listed(box)
        assert row["now"] == "routed"
        other = f"{FOLDER}/procroute-wan2.service"
        assert wrap(box, "probed", via="wan2").split() == [DROP_IN, other, f"{FOLDER}/{ANCHOR}"]
        assert unit(box, "unwrap", "probed").stdout.split() == [DROP_IN, other]
        assert box.sh(f"ls -R {FOLDER}") == before
        assert unit(box, "unwrap", "probed").returncode == 125
        assert box.unit_property(UNIT, "ActiveState") == "active"
        box.clear()
        systemctl(box, "restart", UNIT)
        until(lambda: min(out_by(box, "wan2").values()) >= 2, what="its packets by main")
        assert out_by(box, "wan1") == NOTHING
        assert not {*box.units("procroute-wan*")} - {"procroute-wan1.slice"}
    # systemd 252 has made the second slice's cgroup at a reload, for the unit that would be in it.
    box.sh("cd /sys/fs/cgroup && rmdir procroute.slice/procroute-wan2.slice procroute.slice || true")


REFUSED = {
    "nope": "there is no unit nope.service",
    "probed-ownn": "did you mean probed-own.service?",
    "probed.socket": "a socket has no processes",
    "probed.slice": "a slice holds units",
    "probed.scope": "a scope is made while it runs",
    "probed-masked": "probed-masked.service is masked",
    "probed-own": f"has a slice of its own (probed.slice, by {FOLDER}/probed-own.service)",
    "probed-dropped": "has a slice of its own (other.slice",
    "probed-early": "that for it: probed-early.service before sysinit.target",
    "probed-before": "that for it: probed-before.service before procrouted.service",
    "dbus": "that for it: dbus",
    "systemd-journald": "that for it: systemd-journald.service before ",
    "systemd-networkd": "sets up the adapters",
    "procrouted": "is procroute's own",
    "probed-apart": "in a network namespace of its own",
    "probed-elsewhere": "in a network namespace of its own",
    "probed-session": "opens a session of its own (PAMName=login)",
    "probed-foreign": f"not made by procroute: {FOLDER}/probed-foreign.service.d/50-procroute.conf",
}


@promise("UNIT-15")
def test_what_cannot_be_wrapped_is_refused_with_its_reason(served: Service) -> None:
    box = served.box
    plain = ("ExecStart=sleep 9",)
    early = (*plain, "[Unit]", "DefaultDependencies=no")
    some = {
        "probed-own.service": (*plain, "Slice=probed.slice"),
        "probed-dropped.service": plain,
        "probed-early.service": (*early, "Before=sysinit.target"),
        "probed-before.service": (*early, "Before=procrouted.service"),
        "probed-apart.service": (*plain, "PrivateNetwork=yes"),
        "probed-session.service": (*plain, "PAMName=login", "User=ada"),
        "probed-elsewhere.service": (*plain, "NetworkNamespacePath=/run/netns/elsewhere"),
        "probed-foreign.service": plain,
    }
    with units(box, some):
        box.sh(f"ln -s /dev/null {FOLDER}/probed-masked.service")
        for its, text in (
            ("probed-dropped.service.d/9.conf", "[Service]\nSlice = other.slice\n"),
            ("probed-foreign.service.d/50-procroute.conf", "[Service]\nNice=1\n"),
        ):
            box.sh(f"mkdir -p {FOLDER}/{its.rpartition('/')[0]}")
            box.path(f"{FOLDER}/{its}").write_text(text)
        systemctl(box, "daemon-reload")
        for name, why in REFUSED.items():
            done = unit(box, "wrap", "--via", "wan1", name)
            assert done.returncode == 125, done.stdout
            assert why in done.stderr
        for odd in (("/etc/passwd",), ("@x",), (".service",), (UNIT, "--via", "wan1 wan2")):
            assert unit(box, "wrap", "--via=wan1", *odd).returncode == 2
        assert "and without sudo" in unit(box, "wrap", "--via=wan1", "--user", UNIT).stderr
        assert not box.path(f"{FOLDER}/{ANCHOR}").exists()
        box.sh(f"rm -rf {FOLDER}/probed*; systemctl daemon-reload")


@promise("UNIT-15")
def test_who_misspells_a_route_is_told_which_one_there_is(served: Service) -> None:
    box = served.box
    with units(box, {UNIT: STAYING}):
        box.sh("mkdir -p /etc/procroute")
        box.path("/etc/procroute/config.toml").write_text('[route.always]\nadapters = ["wan1", "wan2"]\n')
        for via, said in (("always", False), ("alwys", True)):
            done = unit(box, "wrap", "--dry-run", "--via", via, UNIT)
            assert ("did you mean the route always?" in done.stderr) == said
        box.sh("rm -r /etc/procroute")


@promise("UNIT-15")
@pytest.mark.parametrize("name", [UNIT, "probed@one.service"])
def test_nothing_is_wrapped_whose_start_would_be_beside_what_is_left_of_it(
    served: Service, name: str
) -> None:
    """systemd starts it in the cgroup that is still there, whatever its slice is by then."""
    box = served.box
    leaves = f"ExecStart=/bin/bash -c 'sleep 1000 & {SEND} exec sleep 1000'"
    of = name.replace("@one", "@")
    with units(box, {of: (leaves, "KillMode=process")}):
        systemctl(box, "start", name)
        for _ in range(2):  # while it runs, and what is left of it after its stop
            done = unit(box, "wrap", "--via", "wan1", of)
            assert done.returncode == 125, done.stdout
            assert "in /system.slice/" in done.stderr
            systemctl(box, "stop", name)
        assert systemctl(box, "kill", "--signal=KILL", name).returncode == 0
        until(lambda: unit(box, "wrap", "--via", "wan1", of).returncode == 0)
        box.clear()
        for _ in range(2):  # then beside what is left of it on its route
            assert systemctl(box, "restart", name).returncode == 0
        until(lambda: min(out_by(box, "wan1").values()) >= 1, what="its packets")
        assert out_by(box, "wan2") == NOTHING
        assert wrap(box, of) == ""
        assert unit(box, "wrap", "--via", "wan2", of).returncode == 125
        systemctl(box, "stop", name)
        systemctl(box, "kill", "--signal=KILL", name)


@promise("UNIT-15")
@pytest.mark.parametrize("name", [UNIT, "probed@one.service"])
def test_what_is_unwrapped_stays_with_what_is_left_of_it_which_is_told(served: Service, name: str) -> None:
    box = served.box
    leaves = f"ExecStart=/bin/bash -c 'sleep 1000 & {SEND} exec sleep 1000'"
    of = name.replace("@one", "@")
    with units(box, {of: (leaves, "KillMode=process")}):
        wrap(box, of)
        systemctl(box, "start", name)
        done = unit(box, "unwrap", of)
        assert done.returncode == 0
        assert f"systemctl kill --signal=KILL {name} ends all" in done.stderr
        box.clear()
        for how in ("restart", "stop", "start"):
            assert systemctl(box, how, name).returncode == 0
            served.start()  # a daemon that looks for what nobody needs
        until(lambda: out_by(box, "wan1") == {4: 2, 6: 2}, what="its packets")
        assert out_by(box, "wan2") == NOTHING
        systemctl(box, "stop", name)
        systemctl(box, "kill", "--signal=KILL", name)
        until(lambda: not box.sh("ls -d /sys/fs/cgroup/procroute.slice 2>/dev/null || true"), what="the end")
        box.clear()
        systemctl(box, "start", name)
        until(lambda: out_by(box, "wan2") == {4: 1, 6: 1}, what="its packets by main")
        assert out_by(box, "wan1") == NOTHING
        systemctl(box, "stop", name)
        systemctl(box, "kill", "--signal=KILL", name)


@contextlib.contextmanager
def template(box: SystemdBox) -> Iterator[None]:
    """procroute-run@.service is there."""
    text = installed(RUN, (ROOT / "systemd" / RUN).read_text(), PROCROUTE, ENVIRONMENT)
    box.path(f"{FOLDER}/{RUN}").write_text(text)
    systemctl(box, "daemon-reload")
    try:
        yield
    finally:
        box.sh(f"rm {FOLDER}/{RUN}; systemctl daemon-reload; systemctl reset-failed")


def one_command(box: SystemdBox, words: str) -> str:
    """The instance of these words."""
    return RUN.replace("@", f"@{box.run(['systemd-escape', '--', words]).stdout.strip()}")


@promise("UNIT-16")
def test_one_command_by_the_template(served: Service) -> None:
    box = served.box
    with template(box):
        box.clear()
        for status in (0, 7):
            one = one_command(box, f"--via wan1 -- {SPEAK.replace('true', f'exit {status}')}")
            assert (systemctl(box, "start", one).returncode == 0) == (status == 0)
            assert box.unit_property(one, "ExecMainStatus") == str(status)
        assert out_by(box, "wan1") == {4: 2, 6: 2}
        assert out_by(box, "wan2") == NOTHING


@promise("UNIT-16")
@pytest.mark.parametrize("strict", ["", "--strict "])
def test_what_one_command_started_ends_with_its_unit(served: Service, strict: str) -> None:
    """Of another unit only what is in its cgroup does, as systemd has it: the command is in a scope."""
    box = served.box
    run = f"--via wan1 {strict}-- bash -c 'echo heard; sleep 4711 & sleep 4711 & wait'"
    lines = (f"Environment=PYTHONPATH={ROOT}", f"ExecStart={shlex.join(PROCROUTE)} run {run}")
    with template(box), units(box, {UNIT: lines}):
        for name, left in ((one_command(box, run), 0), *([] if strict else [(UNIT, 2)])):
            systemctl(box, "start", "--no-block", name)
            until(lambda: sleeping(box) == 2, what="the command")
            assert systemctl(box, "stop", name).returncode == 0
            until(lambda left=left: sleeping(box) == left, what=f"{left} of {name}")  # type: ignore[misc]
        box.sh("systemctl stop 'procroute-run-*.scope'; journalctl --sync")
        assert "heard" in box.run(["journalctl", "-o", "cat", "-t", "procroute-run"]).stdout


def sleeping(box: SystemdBox) -> int:
    """How many of what that command starts live."""
    return len(box.run(["pgrep", "-fx", "sleep 4711"]).stdout.split())


@promise("UNIT-17")
@pytest.mark.parametrize("strict", [(), ("--strict",)], ids=["", "strict"])
@pytest.mark.parametrize("suite", SYSTEMD)
def test_until_the_adapter_comes_nothing_leaves(suite: Suite, strict: tuple[str, ...]) -> None:
    lines = (f"ExecStartPre=-{SPEAK}", f"ExecStart=/bin/bash -c 'while sleep 0.1; do {SEND} done'")
    with SystemdBox(suite, main="both") as box, service(box) as served, units(box, {UNIT: lines}):
        shown = unit(box, "wrap", "--via", VPN.adapter, "--on-down", "stop", "--dry-run", UNIT)
        assert "until it comes the unit does not start" in shown.stderr
        done = unit(box, "wrap", "--via", VPN.adapter, *strict, UNIT)
        assert done.returncode == 0, done.stderr
        assert "there is no adapter vpn0 now" in done.stderr
        assert "until it comes the unit runs" in done.stderr
        box.clear()
        assert systemctl(box, "start", UNIT).returncode == 0
        systemctl(box, "kill", "--kill-whom=main", "--signal=KILL", DAEMON)
        until(lambda: served.state() == "active", what="the next daemon")
        assert out_by(box, "wan1") == out_by(box, "wan2") == NOTHING
        assert systemctl(box, "restart", UNIT).returncode == 0
        box.add(VPN)
        for family, gateway in ((4, VPN.gateway4), (6, VPN.gateway6)):
            box.ip(f"-{family} route add default via {gateway} dev vpn0 metric 300")
        until(lambda: min(out_by(box, VPN.adapter).values()) > 5, what="its packets")
        assert out_by(box, "wan1") == out_by(box, "wan2") == NOTHING
