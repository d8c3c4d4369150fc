"""Where a rule can lead: adapters, routes that other rules lead to, or the machine's own way."""

from __future__ import annotations

from textual.content import Content
from textual.widgets.option_list import Option

from procroute.protocol import AdapterFacts
from procroute.terminal import printable
from procroute_tui.widgets.adapter_choice import AdapterChoice
from procroute_tui.widgets.adapters import STYLES


class WayChoice(AdapterChoice):
    """Adapters first. routes: names that are no adapter's."""

    def __init__(self, adapters: list[AdapterFacts], routes: list[str]) -> None:
        super().__init__(adapters)
        self._names = [*(adapter.name for adapter in adapters), *routes, ""]
        others = [(f"{printable(name):<15} ", "a route of other rules") for name in routes]
        others.append(("direct          ", "the machine's own way, whatever later rules say"))
        self.add_options(
            Option(Content.assemble(("◇ ", STYLES["dim"]), (name, "bold"), (said, STYLES["dim"])))
            for name, said in others
        )

    def on_mount(self) -> None:
        """The first adapter that leads anywhere is proposed, else what comes first."""
        self.highlighted = self._first

    @property
    def way(self) -> str | None:
        """The name of what is highlighted; empty: direct; None: nothing is."""
        return None if self.highlighted is None else self._names[self.highlighted]
