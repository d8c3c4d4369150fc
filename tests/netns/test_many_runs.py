"""Many runs at once: each keeps its way while others come, go and are killed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from procroute.lab import Lab
from tests.netns.crowd import crowd, hang_up, kill_engine
from tests.netns.inhabitants import Command, bystander, routed
from tests.netns.running import cgroups, ours, procroute, unchanged, until
from tests.netns.steadily import Steady
from tests.netns.traffic import SERVER, both_families

# Ten routes, five by each adapter.
_MIXED: Final = [
    (adapter, *options)
    for adapter, gateway4, dns in (
        ("wan1", "198.51.100.1", "198.51.100.53"),
        ("wan2", "203.0.113.1", "2001:db8:2::53"),
    )
    for options in (
        (),
        ("--strict",),
        ("--gateway4", gateway4),
        ("--dns", dns),
        ("--strict", "--dns", dns, "--gateway4", gateway4),
    )
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def wrong(commands: list[Command], adapters: list[str]) -> list[str]:
    """Which commands are not answered by the node behind their adapter, by TCP and UDP, both families."""
    found = []
    for number, (command, adapter) in enumerate(zip(commands, adapters, strict=True)):
        for way in ("tcp", "unconnected"):
            for address in SERVER.values():
                heard = command.ask(way, to=address)
                if heard.router != adapter:
                    found.append(f"{number} by {adapter}: {way} {address}: {heard.router or heard.error}")
    return found


@pytest.mark.promise("CLI-13")
def test_twenty_at_once_on_one_adapter(lab: Lab) -> None:
    with unchanged(lab):
        lab.clear()
        watch = Steady(lab, "wan1")
        with crowd(lab, [("wan1",)] * 20) as commands:
            assert not wrong(commands, ["wan1"] * 20)
            for command in commands[:10]:
                command.end()
            assert not wrong(commands[10:], ["wan1"] * 10)
        heard = watch.end()
        assert heard.keys() == {"wan1"}, heard
        lab.settle()
        assert not lab.wan2.packets()


@pytest.mark.promise("CLI-14")
def test_twenty_at_once_on_two_adapters_with_mixed_options(lab: Lab) -> None:
    adapters = [run[0] for run in _MIXED] * 2
    with unchanged(lab):
        watches = {name: Steady(lab, name, "--strict") for name in ("wan1", "wan2")}
        with crowd(lab, _MIXED * 2) as commands:
            assert len([path for path in cgroups(lab) if path.endswith(".slice")]) == 1 + len(_MIXED)
            assert not wrong(commands, adapters)
            for command in commands[::2]:
                command.end()
            assert not wrong(commands[1::2], adapters[1::2])
        for name, watch in watches.items():
            heard = watch.end()
            assert heard.keys() == {name}, heard


@pytest.mark.promise("CLI-14", "NEG-01")
@both_families
def test_two_at_once_share_nothing_but_the_machine(lab: Lab, family: int) -> None:
    """One by each adapter, and a bystander: nobody's packets come out by another's."""
    with unchanged(lab), routed(lab, via="wan1") as one, routed(lab, "--strict", via="wan2") as two:
        with bystander(lab) as other:
            for who, adapter in ((one, "wan1"), (two, "wan2"), (other, "wan2")):
                lab.clear()
                for way in ("tcp", "udp", "unconnected"):
                    assert who.ask(way, to=SERVER[family]).router == adapter
                lab.settle()
                assert not lab.uplinks["wan1" if adapter == "wan2" else "wan2"].packets()
        one.switch_off("mark")
        assert wrong([one, two], ["wan1", "wan2"])


@pytest.mark.promise("CLI-15", "KILL-01")
@pytest.mark.parametrize("same", [True, False], ids=["same route", "another route"])
def test_one_of_them_killed(lab: Lab, same: bool) -> None:
    """Its command stays on its way, the others go on, and the last of them leaves nothing behind."""
    others = ("wan1",) if same else ("wan1", "--strict")
    with unchanged(lab):
        watch = Steady(lab, *others)
        with crowd(lab, [("wan1",), others, ("wan2",)]) as (killed, other, elsewhere):
            kill_engine(killed.process)
            assert not wrong([killed, other, elsewhere], ["wan1", "wan1", "wan2"])
            with routed(lab) as later:
                assert not wrong([killed, later], ["wan1", "wan1"])
            assert not wrong([killed, other, elsewhere], ["wan1", "wan1", "wan2"])
            hang_up(killed.process)
            assert not wrong([other, elsewhere], ["wan1", "wan2"])
        heard = watch.end()
        assert heard.keys() == {"wan1"}, heard
        until(lambda: not ours(lab), what="the clean-up")


@pytest.mark.promise("CLI-15")
def test_several_killed_with_their_commands(lab: Lab) -> None:
    with unchanged(lab):
        watch = Steady(lab, "wan2")
        victims = [Steady(lab, adapter, *options) for adapter, *options in _MIXED[:4]]
        for victim in victims:
            kill_engine(victim.process)
        with routed(lab) as command:
            assert not wrong([command], ["wan1"])
        for victim in victims:
            hang_up(victim.process)
        heard = watch.end()
        assert heard.keys() == {"wan2"}, heard
        until(lambda: procroute(lab, "cleanup").returncode == 0, what="the victims' end")
        assert not ours(lab)
