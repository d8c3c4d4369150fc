"""What somebody probably meant by a word that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

_SAID: Final = 3
"""Of more that are equally near none is named: it would be a guess."""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """The known words nearest to one, whatever their case: all that are equally near, or none; sorted.

    cutoff: how alike they must be, from 0 to 1 (difflib.get_close_matches).
    """
    matcher = difflib.SequenceMatcher()
    matcher.set_seq2(word.casefold())
    likeness = {}
    for other in known:
        matcher.set_seq1(other.casefold())
        likeness[other] = matcher.ratio()
    best = max(likeness.values(), default=0.0)
    found = [other for other, how in likeness.items() if how == best]
    return sorted(found) if best >= cutoff and len(found) <= _SAID else []
