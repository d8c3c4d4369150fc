"""The edge: what is asked of the kernel passes here; a test's program may have any of it fail, or die at it.

    class Hook:
        def due(self, call, about):      # an errno to fail with, or 0; it may end the process instead
        def done(self, call, about):     # the call was made

    faults.hook(Hook())

Only code in this very process can put a hook: no option, setting, variable or request leads here. So nobody
can use it who could not change the program itself. While there is none, a call costs one comparison.

A call that is to fail is not made, and its caller gets what the kernel would have answered.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `run` by the daemon comes through here: no typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    _T = TypeVar("_T")

    class Hook(Protocol):
        """Told of each call. about: what it is done to, to be shown as text."""

        def due(self, call: str, about: object) -> int:
            """Before the call: the errno that it is to fail with, or 0."""

        def done(self, call: str, about: object) -> None:
            """After it, if it did not fail."""


_hook: Hook | None = None


def hook(given: Hook | None) -> None:
    """Have all calls of this process pass by a hook, or no longer."""
    global _hook
    _hook = given


def due(call: str, about: object = "") -> int:
    """To be asked before a call: the errno that it is to fail with, or 0."""
    return 0 if _hook is None else _hook.due(call, about)


def done(call: str, about: object = "") -> None:
    """To be told after a call."""
    if _hook is not None:
        _hook.done(call, about)


def passed(call: str, about: object, function: Callable[..., _T], *words: object) -> _T:
    """Call a function, which raises OSError when it fails."""
    if _hook is None:
        return function(*words)
    if number := _hook.due(call, about):
        raise OSError(number, os.strerror(number))
    result = function(*words)
    _hook.done(call, about)
    return result
