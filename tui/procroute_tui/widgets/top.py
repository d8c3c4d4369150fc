"""The first line: what is shown, and how the daemon is; and the banner for when it has gone."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from procroute.errors import ProcrouteError
from procroute.terminal import printable
from procroute_tui.model.columns import BY_KEY
from procroute_tui.model.listing import Listing
from procroute_tui.widgets.adapters import STYLES


class Top(Static):
    """One line."""

    DEFAULT_CSS = """
    Top { height: 1; background: $panel; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, listing: Listing) -> None:
        super().__init__(markup=False)
        self._listing = listing
        self._shown: object = None

    def show(self, marked: int, busy: str) -> None:
        """Draw it as things are. marked: so many rows; busy: what is being done now."""
        machine, shape = self._listing.machine, self._listing.shape
        threads = 0 if shape.threads else machine.kernel_threads()
        parts = [f"{machine.routed()} of {len(machine.processes) - threads} processes on a route"]
        if shape.filter:
            rows = sum(self._listing.matches(key) for key in self._listing.rows)
            parts.append(f"filter “{printable(shape.filter)}”: {rows}")
        if marked:
            parts.append(f"{marked} marked")
        parts.append({"list": "list", "tree": "tree", "unit": "by unit"}[shape.view])
        parts.append(f"by {BY_KEY[shape.sort].title.lower()}{'▼' if shape.descending else '▲'}")
        if shape.routed:
            parts.append("routed only")
        shown = [("procroute", "bold $accent"), ("  " + " · ".join(parts), STYLES["dim"])]
        if busy:
            shown.append((f"  … {busy}", "bold $accent"))
        if shown != self._shown:
            self._shown = shown
            self.update(Content.assemble(*shown), layout=False)


class Banner(Static):
    """What is wrong with the daemon; not there while nothing is."""

    DEFAULT_CSS = """
    Banner {
        height: auto; max-height: 4; padding: 0 1; display: none;
        background: $error 25%; color: $foreground; text-style: bold;
    }
    Banner.shown { display: block; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)

    def show(self, error: ProcrouteError | None, *, known: bool) -> None:
        """error: why the daemon does not answer. known: whether something of before is still shown."""
        self.set_class(error is not None, "shown")
        if error is None:
            return
        more = ["What you see is what was last known."] if known else []
        more += [printable(error.hint)] if error.hint else []
        self.update(Content("\n  ".join([f"! {printable(error.message)}; trying again.", *more])))
