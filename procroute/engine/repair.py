"""Bring the kernel back to what it should be as far as it lets us, and say what it was and who did it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from procroute.core.damage import blamed, damage, of_others, spoken
from procroute.core.machine import Observed, Ours
from procroute.core.plan import Step
from procroute.core.step_words import things
from procroute.engine.reconcile import HOPELESS, Pass, alive, reconcile, steps
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import authors
from procroute.kernel.interface import Kernel
from procroute.kernel.witness import ROUTING, Witness
from procroute.protocol import Repaired
from procroute.terminal import printable
from procroute.told import NOTICE, told

Told = Callable[[Repaired], None]


class Outcome(Struct, frozen=True):
    """What is there now. failure: why some of it is not as it should be; missing: the steps that it takes.

    passes: what was done, or tried.
    """

    observed: Observed
    failure: ProcrouteError | None = None
    missing: Sequence[Step] = ()
    passes: Sequence[Pass] = ()

    @property
    def hopeful(self) -> bool:
        """Whether trying again may help although nothing is heard of."""
        return self.failure is None or self.failure.code not in HOPELESS

    @property
    def words(self) -> str:
        """What is wrong, for people."""
        return f"{self.failure}; missing: {', '.join(things(self.missing))}"


def repair(kernel: Kernel, observed: Observed) -> Outcome:
    """Do what is missing, under the lock; a step that is refused holds up no other.

    Steps may come without those before them: rules without their entries lead to unreachable.
    Raises ProcrouteError where nothing can be seen.
    """
    identity = kernel.identity
    passes: list[Pass] = []
    try:
        return Outcome(reconcile(kernel, identity, observed=observed, passes=passes), passes=passes)
    except ProcrouteError as e:
        failure = e
    now = kernel.observe()
    passes.append(Pass(now.ours, steps(identity, now, alive(now))))
    for step in passes[-1].steps:
        try:
            kernel.apply([step])
        except ProcrouteError as e:
            failure = e
    now = kernel.observe()
    missing = steps(identity, now, alive(now))
    return Outcome(now, failure if missing else None, missing, passes)


class Reporter:
    """Tells of what others had changed. told: takes each repair; tell: says a line."""

    def __init__(self, witness: Witness, told: Told, tell: Tell) -> None:
        self._witness = witness
        self._told = told
        self._tell = tell
        self._last: Ours | None = None

    @property
    def heard(self) -> int:
        """How much of what others did has been heard of so far."""
        return self._witness.heard

    @property
    def suspects(self) -> bool:
        """Whether somebody changed what is ours since it was last seen to be as it should be."""
        return self._witness.suspects

    def seen(self, now: Ours, heard: int) -> None:
        """All is as it should be, whatever was heard by then."""
        self._last = now
        self._witness.forget(heard)

    def repaired(self, after: Outcome, seconds: float) -> None:
        """What was found missing, and has been put right unless it says otherwise.

        More may have been broken while the first of it was mended: what a later pass did counts as well.
        """
        last, self._last = self._last, after.observed.ours
        missing = set(map(repr, after.missing))
        ms = seconds * 1000
        if last is None:
            put_right = _once(s for each in after.passes for s in each.steps if repr(s) not in missing)
            if put_right:
                self._tell(told(f"put right at the start: {', '.join(things(put_right))}", NOTICE))
            return
        own: list[Step] = []
        done: list[Step] = []
        for each in after.passes:
            done += damage(each.steps, each.before, last, own)
            own += each.steps
        found = _once(step for step in done if repr(step) not in missing)
        deeds = self._witness.deeds()
        if not self._witness.missed:
            found = of_others(found, deeds)
        if not found:
            return
        by = [authors.found(ROUTING, author) for author in blamed(found, deeds)]
        who, what = printable(spoken(a for a in by if not a.ours)), things(found)
        line = f"repaired in {ms:.0f} ms: {', '.join(what)}; changed by {who or 'nobody knows whom'}"
        self._tell(told(line, NOTICE, by=who))
        self._told(Repaired(at=time.time(), what=what, who=who, ms=round(ms, 1)))


def _once(some: Iterable[Step]) -> list[Step]:
    """Each of these steps, but what had to be tried again only once."""
    return list({repr(step): step for step in some}.values())
