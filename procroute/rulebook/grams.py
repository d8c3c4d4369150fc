"""Globs found by what is literal in them: of many only those are named that could match a text. Pure.

Whatever a glob matches has each of its literal parts in it, and so every four letters that stand together
there. A glob is kept by four such, those with the fewest others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

_LETTERS: Final = 4
_ANY: Final = re.compile(r"[*?]+")


class Grams:
    """Numbers by globs. Text and globs are as `globs` has them."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def add(self, number: int, patterns: Iterable[str]) -> bool:
        """Keep a number by globs, of which one has to match; False: one of them has no four letters,
        and nothing was kept."""
        chosen = [self._rarest(pattern) for pattern in patterns]
        if not all(chosen):
            return False
        for gram in chosen:
            self._numbers.setdefault(gram, []).append(number)
        return True

    def numbers(self, texts: Iterable[str]) -> Iterator[int]:
        """Those of which a glob may match one of these texts, some more than once."""
        for gram in {gram for text in texts for gram in _grams(text)}:
            yield from self._numbers.get(gram, ())

    def _rarest(self, pattern: str) -> str:
        grams = {gram for part in literal_parts(pattern) for gram in _grams(part)}
        return min(grams, key=lambda gram: (len(self._numbers.get(gram, ())), gram), default="")


def literal_parts(pattern: str) -> list[str]:
    """What stands in every text that a glob matches; of a path without the `/` at its ends, as `/**` matches
    nothing, too. What comes after a `[` is not looked at."""
    return [part.strip("/") for part in _ANY.split(pattern.partition("[")[0])]


def _grams(text: str) -> Iterator[str]:
    return (text[at : at + _LETTERS] for at in range(len(text) - _LETTERS + 1))
