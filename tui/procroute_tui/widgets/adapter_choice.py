"""The adapters, one of which is chosen."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from procroute.protocol import AdapterFacts
from procroute.terminal import printable
from procroute_tui.widgets.adapters import STYLES


class AdapterChoice(OptionList):
    """The adapters, with what says whether one leads anywhere. now: the one that is used already."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", "Up", show=False, priority=True),
        Binding("down", "cursor_down", "Down", show=False, priority=True),
    ]

    def __init__(self, adapters: list[AdapterFacts], now: str = "") -> None:
        super().__init__(*(Option(_described(a, now), id=f"adapter-{a.ifindex}") for a in adapters))
        self._adapters = adapters
        good = [i for i, a in enumerate(adapters) if _leads(a) and a.name != now]
        self._first = good[0] if good else 0

    def on_mount(self) -> None:
        """The first that leads anywhere else is proposed."""
        self.highlighted = self._first if self._adapters else None

    @property
    def chosen(self) -> AdapterFacts | None:
        """The one that is highlighted."""
        return None if self.highlighted is None else self._adapters[self.highlighted]


def _leads(adapter: AdapterFacts) -> bool:
    """Whether packets can leave by it, in any family."""
    return adapter.state == "up" and any(way.usable for way in adapter.ways.values())


def _described(adapter: AdapterFacts, now: str) -> Content:
    ways = " ".join(w.gateway for w in adapter.ways.values() if w.gateway) or "no gateway known"
    state = printable(adapter.state) + (", used now" if adapter.name == now else "")
    return Content.assemble(
        ("● " if _leads(adapter) else "○ ", STYLES["good"] if _leads(adapter) else STYLES["bad"]),
        (f"{printable(adapter.name):<15} ", "bold"),
        (f"{state:<14}", ""),
        (printable(ways), STYLES["dim"]),
    )
