"""Observe, plan, apply, verify. Every change of the kernel's state goes through here, under the lock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from procroute.core.desired import desired
from procroute.core.door import Door
from procroute.core.machine import Observed, Ours
from procroute.core.plan import (
    AddEntry,
    AddRule,
    DeleteEntry,
    DeleteRule,
    NameTables,
    SetRuleset,
    SetValidMark,
    Step,
    plan,
)
from procroute.core.step_words import words
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.interface import Kernel
from procroute.model import LiveRoute

Routes = Callable[[Observed], Collection[LiveRoute]]
_TRIES = 4
_LEAVES_DOORS = (AddEntry, DeleteEntry, AddRule, DeleteRule, SetRuleset, SetValidMark, NameTables)
HOPELESS: Final = frozenset({"adapter-unfit", "kernel-option", "library-missing", "not-root"})
"""Codes of refusals that stay as long as the machine does not change."""


def alive(observed: Observed) -> Collection[LiveRoute]:
    """The routes in use; what killed engines left behind is not among them."""
    return observed.alive()


def steps(identity: Identity, observed: Observed, routes: Collection[LiveRoute]) -> list[Step]:
    """What would have to be done for these routes and no others."""
    return plan(desired(identity, observed, routes), observed.ours)


class Pass(Struct, frozen=True):
    """One of the times that it takes: what was there, and the steps that this lacked."""

    before: Ours
    steps: Sequence[Step]


def reconcile(
    kernel: Kernel,
    identity: Identity,
    routes: Routes = alive,
    observed: Observed | None = None,
    passes: list[Pass] | None = None,
) -> Observed:
    """Bring the kernel to the state that these routes need; returns what is there then.

    observed: a look that the caller has just taken under the same lock. passes: gets what it took.

    Raises ProcrouteError when a step fails, or when somebody keeps changing it at the same time; what is
    there then is partly done and a further call goes on from it. What failed is tried again where that can
    help: an adapter may just have gone, memory may have been short.
    """
    observed = observed or kernel.observe()
    failure: ProcrouteError | None = None
    tries = 0
    while todo := steps(identity, observed, routes(observed)):
        if failure is not None and tries == _TRIES:
            raise failure
        tries += 1
        if passes is not None:
            passes.append(Pass(observed.ours, todo))
        failure = _apply(kernel, todo)
        if failure is not None and failure.code in HOPELESS:
            raise failure
        observed = (
            kernel.observe() if failure else kernel.observe(observed.machine, _untouched(observed, todo))
        )
        failure = failure or ProcrouteError(
            "unstable",
            "the kernel's routing state is not what was asked for",
            f"somebody changes it at the same time; the last to do was: {words(todo[0])}",
        )
    return observed


def _untouched(observed: Observed, done: Sequence[Step]) -> Mapping[int, Door] | None:
    """The doors, if these steps leave them as they are: who keeps the lock need not look at them again."""
    return observed.ours.doors if all(isinstance(step, _LEAVES_DOORS) for step in done) else None


def _apply(kernel: Kernel, todo: Sequence[Step]) -> ProcrouteError | None:
    """Do the steps; one that fails ends it, since an adapter may just have gone: look again."""
    try:
        kernel.apply(todo)
    except ProcrouteError as e:
        return e
    return None
