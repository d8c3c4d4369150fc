"""A TCP connection that the guard would stop does not hang: connect() says so at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.attempts import Attempt, attempted
from tests.netns.inhabitants import Command, routed
from tests.netns.traffic import FAMILIES, astray, both_families, elsewhere, gateway, own_address

promise = pytest.mark.promise

TIED: dict[str, Attempt] = {
    "to the address": ("tcp", {"source": "{wan2}"}),
    "to the adapter": ("tcp", {"device": "wan2"}),
    "to both": ("tcp", {"source": "{wan2}", "device": "wan2"}),
    "to the address and its own adapter": ("tcp", {"source": "{wan2}", "device": "wan1"}),
    "to the address, its mark taken away": ("tcp", {"source": "{wan2}", "mark": 0}),
    "to the address, with fast open": ("tcp", {"source": "{wan2}", "fast": True}),
}
each_tie = pytest.mark.parametrize("attempt", TIED.values(), ids=list(TIED))
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


@pytest.fixture(scope="module", params=["lan", "strict"])
def command(request: pytest.FixtureRequest) -> Iterator[Command]:
    """A command by wan1 on a machine that prefers wan2."""
    options = ["--strict"] if request.param == "strict" else []
    with Lab(main="both") as lab, routed(lab, *options) as command:
        yield command


@pytest.fixture(scope="module")
def with_lan() -> Iterator[Command]:
    """One that may reach the LAN."""
    with Lab(main="both") as lab, routed(lab) as command:
        yield command


@promise("LEAK-08", "LEAK-04")
@each_tie
@both_families
def test_a_tied_socket_is_refused_and_counted(command: Command, family: int, attempt: Attempt) -> None:
    before = command.drops("wan2")
    command.lab.clear()
    heard = attempted(command, attempt, family, seconds=5)
    assert heard.error == "ENETUNREACH"
    assert command.drops("wan2") == before + 1
    assert not elsewhere(command.lab)


@promise("LEAK-08", "LEAK-04")
@pytest.mark.parametrize("options", [{"source": "{lan0}"}, {"device": "lan0"}], ids=["address", "adapter"])
@both_families
def test_so_is_one_that_is_tied_to_the_lan(command: Command, family: int, options: dict[str, str]) -> None:
    before = command.drops("lan0")
    heard = attempted(command, ("tcp", dict(options)), family, seconds=5)
    assert heard.error == "ENETUNREACH"
    assert command.drops("lan0") == before + 1


@promise("LEAK-08")
def test_so_is_ipv4_through_an_ipv6_socket(command: Command) -> None:
    source = f"::ffff:{own_address(command.lab.wan2, 4)}"
    for options in ({"source": source}, {"device": "wan2"}):
        heard = attempted(command, ("tcp", dict(options)), 6, to="::ffff:192.0.2.80", seconds=5)
        assert heard.error == "ENETUNREACH"


@promise("LEAK-08", "LAN-01")
@pytest.mark.parametrize(
    "options", [{"source": "{lan0}"}, {"device": "lan0"}, {"source": "{lan0}", "device": "lan0"}]
)
@both_families
def test_the_lan_may_be_called_by_its_adapter(
    with_lan: Command, family: int, options: dict[str, str]
) -> None:
    lan = with_lan.lab.lan
    heard = attempted(with_lan, ("tcp", dict(options)), family, to=gateway(lan, family), seconds=2)
    assert (heard.router, heard.error) == ("lan", "")


@promise("LEAK-08")
@both_families
def test_the_own_adapter_may_be_named(command: Command, family: int) -> None:
    for options in ({"source": "{wan1}"}, {"device": "wan1"}, {"source": "{wan1}", "device": "wan1"}):
        heard = attempted(command, ("tcp", dict(options)), family, seconds=2)
        assert (heard.router, heard.error) == ("wan1", "")


@promise("LEAK-08")
@both_families
def test_the_machine_itself_may_be_called_from_anywhere(command: Command, family: int) -> None:
    """On a port where nobody listens."""
    own = own_address(command.lab.wan2, family)
    for to, options in (
        (own, {"device": "wan2"}),
        (own, {"source": own}),
        (own_address(command.lab.wan1, family), {}),
        (own_address(command.lab.wan1, family), {"source": own}),
        (own_address(command.lab.wan1, family), {"device": "wan1"}),
        (LOOPBACK[family], {"device": "lo"}),
        (LOOPBACK[family], {}),
    ):
        heard = command.ask("tcp", to=to, port=9, seconds=2, **options)
        assert heard.error == "ECONNREFUSED", (to, options)


@promise("NEG-02")
def test_without_the_look_at_attempts_they_hang_and_are_held_all_the_same() -> None:
    with Lab(main="both") as lab, routed(lab) as command:
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan1)
        command.switch_off("attempt")
        lab.clear()
        for family in FAMILIES:
            before = command.drops("wan2")
            assert attempted(command, TIED["to the address"], family).error == "ETIMEDOUT"
            assert command.drops("wan2") > before
        assert attempted(command, TIED["to the adapter"], 4).error == "ETIMEDOUT"
        assert not elsewhere(lab)
