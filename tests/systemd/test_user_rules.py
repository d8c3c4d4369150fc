"""A rule for a user: his slice of systemd's tree follows as it is, and whatever is begun in it."""

from __future__ import annotations

import pytest

from tests.lab.systemd_box import ADA, SystemdBox
from tests.netns.ruled import FOLDER, PROGRAM, script, write
from tests.netns.running import until
from tests.netns.traffic import FAMILIES, SERVER, assert_nowhere, astray, both_families
from tests.systemd.daemons import AS_ADA, daemon, started

pytestmark = pytest.mark.promise("RULE-46")


@both_families
def test_what_a_user_runs_goes_by_her_route(box: SystemdBox, family: int) -> None:
    write(box, f'[[rule]]\nuser = "{ADA}"\nvia = "wan1"\n')
    try:
        with daemon(box) as running, started(box, "--pipe", "--wait", "--collect") as bystander:
            box.run([*AS_ADA, "systemd-run", "--user", "--wait", "--quiet", "true"], check=True)
            # What ran before her slice was there is met by news, and may not have ended yet.
            slice_alone = [("rule", f"/user.slice/user-{ADA}.slice")]
            until(
                lambda: [(one["how"], one["cgroup"]) for one in running.ps()] == slice_alone,
                what="her slice, and nothing else, on its route",
            )
            with started(box, "--pipe", "--wait", "--collect", "--user", before=AS_ADA) as hers:
                assert not astray(box, hers, "tcp", family, box.uplinks["wan1"])
                assert not astray(box, hers, "udp", family, box.uplinks["wan1"])
            assert not astray(box, bystander, "tcp", family, box.uplinks["wan2"])
    finally:
        box.sh(f"rm -r {FOLDER}")


@pytest.mark.promise("ABSENT-01")
def test_what_she_runs_goes_nowhere_while_the_adapter_of_her_route_has_not_come(box: SystemdBox) -> None:
    """It is an adapter that comes to have that name."""
    write(box, f'[[rule]]\nuser = "{ADA}"\nvia = "late0"\n')
    hers = ("--pipe", "--wait", "--collect", "--user")
    try:
        with daemon(box) as running:
            box.run([*AS_ADA, "systemd-run", "--user", "--wait", "--quiet", "true"], check=True)
            running.ask("rules", "apply")  # her slice may have followed another rule before
            until(lambda: [one["route"] for one in running.ps()] == ["late0"], what="her slice on its route")
            with started(box, *hers, before=AS_ADA) as its:
                assert_nowhere(box, its)
                box.ip("link property add dev wan1 altname late0")
                for family in FAMILIES:
                    until(lambda: its.ask("udp", to=SERVER[family]).router == "wan1", 5)  # noqa: B023
                    assert not astray(box, its, "tcp", family, box.wan1), running.log()
    finally:
        box.sh(f"rm -r {FOLDER}; ip link property del dev wan1 altname late0 || true")


@pytest.mark.promise("RULE-28")
def test_what_is_excepted_from_a_users_route(box: SystemdBox) -> None:
    """Before her rule stands an exception: so not all of her slice follows, but who is not excepted."""
    text = f"""[[rule]]
exe = "{PROGRAM}"
direct = true

[[rule]]
user = "{ADA}"
via = "wan1"
"""
    script(box)
    write(box, text)
    hers = ("--pipe", "--wait", "--collect", "--user")
    try:
        with (
            daemon(box) as running,
            started(box, *hers, before=AS_ADA) as its,
            started(box, *hers, before=AS_ADA, by=(PROGRAM,)) as excepted,
        ):
            running.ask("rules", "apply")  # her slice may have followed as a whole before
            pid = its.ask("hello").pid
            until(lambda: pid in [p["pid"] for one in running.ps() for p in one["processes"]])
            for family in FAMILIES:
                assert not astray(box, its, "tcp", family, box.wan1)
                assert not astray(box, excepted, "tcp", family, box.wan2), running.log()
    finally:
        box.sh(f"rm -r {FOLDER}")
