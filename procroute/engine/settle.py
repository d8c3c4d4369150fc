"""Have in the kernel what living routes need, and nothing else: after an end, or instead of a start.

with undoing(linux):
    open_route(linux, observed, live)       # fails: what it began is undone, or the error says what is left
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from procroute.core.step_words import things
from procroute.engine.lock import release_directory
from procroute.engine.reconcile import alive, reconcile, steps
from procroute.errors import ProcrouteError
from procroute.identity import RUN_DIRECTORY
from procroute.kernel import records, sysctl
from procroute.kernel.linux import Linux


def settle(linux: Linux) -> None:
    """Remove what nobody uses; the lock's folder, too, with the last route. Under the lock.

    Raises ProcrouteError and OSError; then some of it is left.
    """
    now = reconcile(linux, linux.identity)
    if records.identities(linux.mount, linux.namespace) <= {linux.identity}:
        sysctl.restore_all(linux.namespace, but=now.ours.valid_mark)
    if not now.ours.targets:
        linux.placement.remove_root()  # where the removal of the last one was held up before it came to that
    release_directory()


@contextlib.contextmanager
def undoing(linux: Linux, undo: Callable[[Linux], None] = settle) -> Iterator[None]:
    """What fails within is undone; where that fails as well the error says so, and what is there.

    Under the lock. undo: how; raises ProcrouteError or OSError where it cannot.
    """
    try:
        yield
    except BaseException as e:
        try:
            undo(linux)
        except (ProcrouteError, OSError) as more:
            if isinstance(e, ProcrouteError | OSError):
                raise not_undone(e, more, _left(linux)) from e
        raise


def forget_lock(_: Linux) -> None:
    """To undo what has done nothing but take the lock."""
    release_directory()


def not_undone(
    why: Exception, more: Exception, left: str, remedy: str = "procroute cleanup removes what is left"
) -> ProcrouteError:
    """The error for something that failed, and could not be undone because of `more`. left: what is there."""
    code, hint = (why.code, why.hint) if isinstance(why, ProcrouteError) else ("system", "")
    what = f"; left: {left}" if left else ""
    return ProcrouteError(
        code,
        f"{why}; what was begun could not be undone ({more}){what}",
        "; ".join(filter(None, (hint, remedy))),
    )


def _left(linux: Linux) -> str:
    """What is there that nobody uses, as words."""
    try:
        now = linux.observe()
    except (ProcrouteError, OSError):
        return f"perhaps some of it in the kernel, and {RUN_DIRECTORY}"
    return ", ".join(things(steps(linux.identity, now, alive(now)))) or RUN_DIRECTORY
