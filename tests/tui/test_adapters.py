"""What the lines of adapters say."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from procroute.protocol import CheckFacts, HealthFacts
from procroute_tui.model.adapter_lines import adapter_lines
from procroute_tui.model.machine import Machine
from tests.tui.fake_daemon import NOW, adapter

pytestmark = pytest.mark.promise("HEALTH-08")
WHY = "ping 192.0.2.1: no answer in 2 s, 3 times in a row"
FOR = "for 12 s: "
DEAD = HealthFacts("down", NOW, WHY, [CheckFacts("ping 192.0.2.1", "down", NOW, WHY)])


def lines(*facts: HealthFacts | None, room: int = 200, state: str = "up", second: bool = True) -> list[str]:
    """As text, of an adapter each."""
    machine = Machine()
    machine.adapters = [replace(adapter(f"wan{n}", n, state=state), health=h) for n, h in enumerate(facts, 1)]
    return [
        "".join(text for text, _ in line) for line in adapter_lines(machine, room, NOW + 12, second=second)
    ]


def test_an_adapter_that_leads_nowhere_is_dead_in_words_and_by_its_sign() -> None:
    dead, well, unchecked = lines(DEAD, HealthFacts("up", NOW), None)
    assert dead.startswith(" ✗ wan1 dead ")
    assert f"{FOR}{WHY}" in dead
    assert well.startswith(" ● wan2 up ")
    assert unchecked.startswith(" ● wan3 up ")


def test_where_there_is_little_room_the_reason_is_on_the_next_line() -> None:
    first, second = lines(DEAD, room=80)
    assert "dead" in first
    assert second.strip().startswith(f"{FOR}{WHY}")


def test_where_there_is_no_room_for_addresses_the_reason_is_told_all_the_same() -> None:
    first, second, well = lines(DEAD, HealthFacts("up", NOW), room=80, second=False)
    assert "dead" in first
    assert second.strip() == f"{FOR}{WHY}"
    assert well.startswith(" ● wan2 up ")


def test_one_that_is_down_anyway_is_down() -> None:
    (down,) = lines(DEAD, state="down")
    assert down.startswith(" ○ wan1 down ")
    assert WHY not in down


@pytest.mark.promise("OVER-09")
def test_what_a_tunnel_is_over_is_said() -> None:
    machine = Machine()
    machine.adapters = [replace(adapter("wg0", 7), over="lte"), adapter("wan1", 1)]
    tunnel, other = [
        "".join(text for text, _ in line) for line in adapter_lines(machine, 200, NOW, second=True)
    ]
    assert "over lte" in tunnel
    assert "over" not in other
