"""Somebody deletes our ip rules, flushes the nft ruleset, or both: the command is held back, not let out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from procroute.lab import ICMP, ICMP6, TCP, UDP, Lab
from procroute.lab.patience import FACTOR
from tests.netns.inhabitants import Command, routed
from tests.netns.traffic import FAMILIES, SERVER, WAYS, astray, both_families, delete_our_rules, elsewhere

promise = pytest.mark.promise

KEPT = ("tcp", "udp", "unconnected")


def flush_ruleset(lab: Lab) -> None:
    """Every nft table, whoever made it."""
    lab.nft("flush ruleset")


def flush_rules_only(lab: Lab) -> None:
    """All rules but those of the kernel, as some network scripts do."""
    for family in FAMILIES:
        lab.sh(f"ip -{family} rule flush; ip -{family} rule add pref 32766 table main")


def flush_our_tables(lab: Lab) -> None:
    """The entries of our tables, with the rules left."""
    for family in FAMILIES:
        lab.sh(f"ip -{family} route flush table all proto 112")


def both(lab: Lab) -> None:
    """Rules deleted and ruleset flushed."""
    delete_our_rules(lab)
    flush_ruleset(lab)


DAMAGE = [
    pytest.param(delete_our_rules, id="rules", marks=promise("DOWN-07")),
    pytest.param(flush_rules_only, id="all rules", marks=promise("DOWN-07")),
    pytest.param(flush_ruleset, id="ruleset", marks=promise("DOWN-08")),
    pytest.param(both, id="rules and ruleset", marks=promise("DOWN-08")),
    pytest.param(flush_our_tables, id="tables", marks=promise("DOWN-07")),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Command]:
    """A command by wan1 on a machine that prefers wan2; strict reverse path checks give us an nft table."""
    with Lab(main="both", rp_filter=1) as lab, routed(lab) as command:
        yield command


@pytest.fixture
def command(running: Command) -> Iterator[Command]:
    """The same, with a socket of each kind open and in use; what is broken is repaired afterwards."""
    open_sockets(running)
    assert not leaks(running)
    yield running
    running.thaw()
    delete_our_rules(running.lab)  # such news make the engine look at everything
    for family in FAMILIES:
        assert works_within(2, running, family)
    for family in FAMILIES:
        for way in KEPT:
            running.ask("drop", name=f"{way} {family}")


def works_within(seconds: float, command: Command, family: int) -> bool:
    """Whether each way to send with a new socket is right again within that time."""
    deadline = time.monotonic() + seconds * FACTOR
    lab = command.lab
    while any(astray(lab, command, way, family, lab.wan1, seconds=0.1) for way in KEPT):
        if time.monotonic() > deadline:
            return False
    return True


def open_sockets(command: Command) -> None:
    """One kept socket of each kind and family, each used once."""
    for family in FAMILIES:
        for way in KEPT:
            heard = command.ask(way, to=SERVER[family], keep=f"{way} {family}")
            assert (heard.router, heard.error) == ("wan1", "")


def speak_again(command: Command, seconds: float = 0.15) -> None:
    """Use every kept socket once more, whatever becomes of it."""
    for family in FAMILIES:
        for way in KEPT:
            to = SERVER[family] if way == "unconnected" else ""
            command.ask("again", name=f"{way} {family}", to=to, seconds=seconds)


def speak_anew(command: Command, seconds: float = 0.15) -> None:
    """Every way to send, with new sockets."""
    for family in FAMILIES:
        for way in WAYS:
            command.ask(way, to=SERVER[family], seconds=seconds)


def leaks(command: Command) -> list[str]:
    """What comes out by another adapter from old and new sockets; without what the kernel says for those of
    the case before, which have gone."""
    command.lab.clear()
    speak_again(command)
    speak_anew(command)
    return elsewhere(command.lab, "wan1", of_the_closed=False)


@pytest.mark.parametrize("damage", DAMAGE)
def test_nothing_leaves_while_the_engine_sleeps(command: Command, damage: Callable[[Lab], None]) -> None:
    command.freeze()
    damage(command.lab)
    assert not leaks(command)


@pytest.mark.parametrize("damage", DAMAGE)
def test_nothing_leaves_while_the_engine_repairs(command: Command, damage: Callable[[Lab], None]) -> None:
    command.lab.clear()
    for _ in range(3):
        damage(command.lab)
        speak_again(command, seconds=0.05)
        speak_anew(command, seconds=0.05)
    assert not elsewhere(command.lab, "wan1", of_the_closed=False)


@promise("DOWN-07")
@pytest.mark.parametrize("damage", [delete_our_rules, flush_our_tables], ids=["rules", "tables"])
@both_families
def test_deleted_rules_and_entries_come_back(
    command: Command, family: int, damage: Callable[[Lab], None]
) -> None:
    damage(command.lab)
    assert works_within(2, command, family)


@promise("NEG-02")
def test_without_the_guard_it_all_leaves_by_main() -> None:
    with Lab(main="both", rp_filter=1) as lab, routed(lab) as command:
        open_sockets(command)
        assert not leaks(command)
        command.switch_off("guard")
        both(lab)
        assert {packet.partition(":")[0] for packet in leaks(command)} == {"wan2"}
        protocols = {(packet.family, packet.protocol) for packet in lab.wan2.packets()}
        assert protocols == {(4, TCP), (4, UDP), (4, ICMP), (6, TCP), (6, UDP), (6, ICMP6)}
