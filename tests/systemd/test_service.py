"""The unit files that are shipped: how the daemon comes, goes and comes back by them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.netns.inhabitants import bystander
from tests.netns.running import ENVIRONMENT, PROCROUTE, ours, until
from tests.netns.traffic import FAMILIES, astray
from tests.systemd.daemons import AS_ADA, UNIT, placed
from tests.systemd.services import SOCKET, Service, installed

promise = pytest.mark.promise


@pytest.fixture
def service(box: SystemdBox) -> Iterator[Service]:
    """Installed, and asked for by nobody yet; nothing of ours is left after it."""
    with installed(box) as service:
        yield service
    # Its folder is the service's, and stays; with a socket in it the lock is not taken away either.
    box.sh("rm -f /run/procroute/lock; rmdir --ignore-fail-on-non-empty /run/procroute 2>/dev/null || true")
    until(lambda: not ours(box), what="the end of what is ours")


@promise("SERVICE-03")
def test_it_is_active_when_it_serves(service: Service) -> None:
    service.start()
    assert service.state() == "active"
    assert service.box.unit_property(UNIT, "Type") == "notify"
    assert "ready" in service.log()
    assert service.ps() == []
    service.box.run(["systemctl", "reload", UNIT], check=True)
    assert "was read again" in service.log()


@promise("SERVICE-03", "SERVICE-02")
def test_who_asks_starts_it(service: Service) -> None:
    assert service.state() == "inactive"
    with placed(service.box, AS_ADA) as command:
        assert not [w for f in FAMILIES for w in astray(service.box, command, "tcp", f, service.box.wan1)]
        assert service.state() == "active"
        assert (
            service.box.sh("stat -c '%U:%G %a' /run/procroute/procroute.sock").strip() == "root:procroute 660"
        )


@promise("SERVICE-03")
def test_who_asks_meanwhile_is_answered_by_the_next_one(service: Service) -> None:
    service.start()
    before = service.main()
    asking = [
        service.box.popen([*PROCROUTE, "ps", "--json"], env=ENVIRONMENT, stdout=-1)
        for _ in range(4)
        if service.box.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT]) is not None
    ]
    answers = [one.communicate(timeout=60)[0] for one in asking]
    assert [one.returncode for one in asking].count(0) >= 1, answers
    service.until_another(before)
    assert service.ps() == []


@promise("SERVICE-03", "SERVICE-04")
@pytest.mark.parametrize("how", ["restart", "stop", "crash", "hang"])
def test_what_is_routed_goes_on(box: SystemdBox, how: str) -> None:
    with installed(box, "WatchdogSec=2\n" if how == "hang" else "") as service:
        service.start()
        with (
            bystander(box) as other,
            placed(box, AS_ADA) as command,
            placed(box, AS_ADA, via="wan2") as second,
        ):
            before, numbers = service.main(), [one["id"] for one in service.ps()]
            box.clear()
            if how == "restart":
                box.run(["systemctl", "restart", UNIT], check=True)
            elif how == "stop":
                box.run(["systemctl", "stop", UNIT, SOCKET], check=True)
                for family in FAMILIES:
                    assert not astray(box, command, "tcp", family, box.wan1)
                box.run(["systemctl", "start", SOCKET], check=True)
                service.start()
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
            service.until_another(before)
            for family in FAMILIES:
                assert not astray(box, command, "tcp", family, box.wan1)
                assert not astray(box, second, "udp", family, box.wan2)
                assert not astray(box, other, "tcp", family, box.wan2)
            assert [one["id"] for one in service.ps()] == numbers
