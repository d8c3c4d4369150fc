"""The configuration changes while there are routes: they keep their numbers, and are undone by those."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from procroute.lab import Lab
from procroute.lab.snapshot import changes, snapshot
from tests.netns.crowd import crowd, hang_up, kill_engine
from tests.netns.inhabitants import routed
from tests.netns.running import cgroups, ours, procroute, run, unchanged, until
from tests.netns.traffic import SERVER

CHANGES = {
    "preference and table": ("preference = 4000\ntable = 9000", "preference 4400, not 4000, table "),
    "overlapping preferences": ("preference = 4500", "preference 4400, not 4500"),
    "mark mask": ("mark_mask = 0x3f00", "mark_mask 0xff000000, not 0x3f00"),
    "protocol": ("protocol = 113", "protocol 112, not 113"),
}
each_change = pytest.mark.parametrize("name", CHANGES)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """rp_filter 1, so that the nft table and the sysctl take part."""
    with Lab(rp_filter=1) as lab:
        yield lab


@contextmanager
def configured(lab: Lab, numbers: str) -> Iterator[None]:
    """With these lines of [identity]."""
    lab.sh(f"mkdir -p /etc/procroute; echo '[identity]\n{numbers}' >/etc/procroute/config.toml")
    try:
        yield
    finally:
        lab.sh("rm -r /etc/procroute")


def rubble(lab: Lab) -> None:
    """What an engine leaves that was killed with its command."""
    with crowd(lab, [("wan1",)]) as (command,):
        kill_engine(command.process)
        hang_up(command.process)
    until(lambda: not lab.sh("cat $(find /sys/fs/cgroup/procroute.slice -name cgroup.procs)"))


@pytest.mark.promise("ID-01", "ID-02", "ERR-08", "CLI-14")
@each_change
def test_run_is_refused_before_it_touches_anything(lab: Lab, name: str) -> None:
    """And the route that lives is undone by its own numbers."""
    numbers, says = CHANGES[name]
    with unchanged(lab):
        with routed(lab) as command, configured(lab, numbers):
            before = snapshot(lab)
            done = run(lab, "wan2", "true")
            told = json.loads(procroute(lab, "status", "--json").stdout)
            assert (told["routes"], told["under_other_numbers"]) == ([], 1)
            assert "1 route lives under other numbers" in procroute(lab, "status").stdout
            assert changes(before, snapshot(lab)) == {}
            said = "procroute: there are routes under other numbers than [identity] has now: "
            assert (done.returncode, done.stdout) == (125, "")
            assert done.stderr.startswith(said + says)
            assert "  hint: wait for their commands or end them" in done.stderr
            for address in SERVER.values():
                assert command.ask("tcp", to=address).router == "wan1"
        assert not ours(lab)


@pytest.mark.promise("KILL-02", "CLEAN-01", "CLEAN-02", "ID-01")
@each_change
def test_cleanup_undoes_by_the_numbers_that_were_used(lab: Lab, name: str) -> None:
    with unchanged(lab):
        rubble(lab)
        with configured(lab, CHANGES[name][0]):
            assert run(lab, "wan2", "true").returncode == 125
            done = procroute(lab, "cleanup")
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == "1 route removed: nothing of procroute's is left\n"
            assert not ours(lab)
            assert run(lab, "wan2", "true").returncode == 0


@pytest.mark.promise("CLEAN-02", "CLEAN-03", "ID-01")
def test_what_nobody_remembers_is_named_and_left(lab: Lab) -> None:
    with unchanged(lab):
        rubble(lab)
        lab.sh("rmdir $(find /sys/fs/cgroup/procroute.slice -depth -type d)")
        with configured(lab, "preference = 4000\ntable = 9000\nmark_mask = 0x3f00"):
            before = ours(lab)["rules"]
            done = procroute(lab, "cleanup")
            assert done.returncode == 0
            assert "is left" not in done.stdout
            assert "procroute: left, since nothing says" in done.stderr
            assert "rule 4400: " in done.stderr
            assert f"table {'7'}" in done.stderr
            assert ours(lab)["rules"] == before
        done = procroute(lab, "cleanup")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "leftovers removed: nothing of procroute's is left\n"


@pytest.mark.promise("CLEAN-04", "ID-01", "CLI-14")
@each_change
def test_an_engine_that_was_cleaned_up_after_leaves_the_next_numbers_alone(lab: Lab, name: str) -> None:
    """Neither news nor its end have it undo what there is only one of: nft table, sysctl, names."""
    with unchanged(lab):
        with routed(lab):
            assert procroute(lab, "cleanup", "--force").returncode == 0
            with configured(lab, CHANGES[name][0]), crowd(lab, [("wan1",)]) as (other,):
                before = snapshot(lab)
                lab.ip("link set lan0 mtu 1400")
                lab.ip("link set lan0 mtu 1500")
                for address in SERVER.values():
                    assert other.ask("tcp", to=address).router == "wan1"
                assert changes(before, snapshot(lab)) == {}
                kill_engine(other.process)
                left = lab.sh("nft list tables")
                hang_up(other.process)
        assert "procroute" in left
        assert lab.sh("nft list tables") == left
        assert len(cgroups(lab)) > 1
        assert procroute(lab, "cleanup").returncode == 0
