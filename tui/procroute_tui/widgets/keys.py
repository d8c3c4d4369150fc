"""The last line: the keys, which can be clicked.

Textual's Footer makes a widget of each, which is a good part of the time to the first picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Static


class KeyLine(Static):
    """The bindings that are to be shown, as far as they fit.

    spare: actions whose keys make room for the others where there is little, the first of them first.
    """

    DEFAULT_CSS = """
    KeyLine { height: 1; background: $surface; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, bindings: Iterable[object], spare: Sequence[str] = ()) -> None:
        super().__init__(markup=False)
        self._spare = spare
        self._keys = [b for b in bindings if isinstance(b, Binding) and b.show]

    def render(self) -> Content:
        """`a Assign  r Release`."""
        parts: list[tuple[str, str]] = []
        for _, key, text, _ in self._placed():
            parts += [(key, "bold $accent"), (text, "$foreground 80%")]
        return Content.assemble(*parts)

    async def on_click(self, event: events.Click) -> None:
        """As its key."""
        for binding, key, text, start in self._placed():
            if start <= event.x < start + len(key) + len(text):
                await self.app.run_action(binding.action, self.app)
                return

    def _placed(self) -> Iterator[tuple[Binding, str, str, int]]:
        """Each with its key and text as they are written, and where it begins."""
        shown = self._keys
        for action in self._spare:
            if sum(len(_key(each)) + len(each.description) for each in shown) <= self.size.width:
                break
            shown = [each for each in shown if each.action != action]
        start = 0
        for binding in shown:
            key, text = _key(binding), binding.description
            yield binding, key, text, start
            start += len(key) + len(text)


def _key(binding: Binding) -> str:
    return f" {binding.key_display or binding.key.partition(',')[0]} "
