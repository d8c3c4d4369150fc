"""Dummies: as the holder of a service's address, and as the adapter itself.

Run in a virtual machine (`make test-vm`), for a kernel with dummies.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.inhabitants import Command, routed
from tests.netns.traffic import FAMILIES, SERVER, both_families, elsewhere, own_address

promise = pytest.mark.promise
SERVICE = {4: "198.18.0.200", 6: "2001:db8:77::200"}
CLIENT = {4: "192.0.2.99", 6: "2001:db8:ffff::99"}
GATEWAY = {4: "198.18.0.1", 6: "2001:db8:77::1"}
PORT = 8080


@pytest.fixture
def lab() -> Iterator[Lab]:
    """dummy0 has the addresses; wan1's side knows the way to them."""
    with Lab(main="both") as lab:
        lab.sh(
            "ip link add dummy0 type dummy; ip link set dummy0 up;"
            f"ip address add {SERVICE[4]}/24 dev dummy0; ip -6 address add {SERVICE[6]}/64 dev dummy0 nodad"
        )
        for family in FAMILIES:
            via = own_address(lab.wan1, family)
            lab.wan1.run(["ip", "route", "add", SERVICE[family], "via", via, "dev", "up0"], check=True)
        yield lab


@promise("IN-01")
@both_families
def test_a_service_on_a_dummy_answers_by_the_route(lab: Lab, family: int) -> None:
    with routed(lab) as command:
        command.ask("serve", transport="tcp", address=SERVICE[family], port=PORT)
        lab.clear()
        answer = lab.wan1.dial(CLIENT[family], SERVICE[family], PORT, "tcp")
        assert (answer.error, answer.sender) == ("", SERVICE[family])
        assert not elsewhere(lab, "wan1")


def sent(lab: Lab) -> int:
    """How many packets have left by the dummy, which swallows them."""
    return int(lab.path("/sys/class/net/dummy0/statistics/tx_packets").read_text())


def leaves_by_the_dummy(lab: Lab, command: Command, family: int) -> bool:
    """Whether what the command sends leaves by the dummy and by nothing else."""
    before = sent(lab)
    lab.clear()
    command.ask("udp", to=SERVER[family], seconds=0.3)
    return sent(lab) > before and not elsewhere(lab)


@promise("PATH-02", "NEG-01")
@both_families
def test_a_dummy_can_be_the_adapter(lab: Lab, family: int) -> None:
    options = ("--gateway4", GATEWAY[4], "--gateway6", GATEWAY[6], "--dns", "system")
    with routed(lab, *options, via="dummy0") as command:
        assert leaves_by_the_dummy(lab, command, family)
        command.switch_off("mark", "guard")
        assert not leaves_by_the_dummy(lab, command, family)
