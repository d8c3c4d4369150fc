"""A course of the soak: lives (life.py) one after the other until time is over, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.soak.tally import Tally

Say = Callable[[str], None]
_OFTEN: Final = 30
"""Seconds between lines about how it goes on."""
_STEPS: Final = 30
"""Of a life, at most."""
_LIVES: Final = 20
"""By one seed, at most."""


class TimeIsOverError(BaseException):
    """Passes through hypothesis, as the user's Ctrl-C does."""


class Course:
    """seconds: how long; at_least: go on until so many actions were done, for `at_most` seconds; say: takes
    lines of what goes on."""

    def __init__(self, seconds: float, *, at_least: int = 0, at_most: float = 0, say: Say = print) -> None:
        self.tally = Tally()
        self.failures: list[str] = []
        self.say = say
        self.lives = 0
        self._began = time.monotonic()
        self._seconds = seconds
        self._at_least = at_least
        self._said = 0.0
        self._at_most = max(at_most, seconds)

    @property
    def elapsed(self) -> float:
        """Seconds since its beginning."""
        return time.monotonic() - self._began

    @property
    def over(self) -> bool:
        """Whether to begin nothing more. What has failed is tried again as often as hypothesis wants."""
        if self.failures:
            return False
        enough = self.tally.steps >= self._at_least
        return self.elapsed >= (self._seconds if enough else self._at_most)

    def next(self, action: str) -> None:
        """One more action. Raises TimeIsOverError."""
        if self.over:
            raise TimeIsOverError
        self.tally.actions[action] += 1
        if self.elapsed - self._said > _OFTEN:
            self._said = self.elapsed
            self.say(
                f"{self.elapsed:5.0f} s: {self.lives} machines, {self.tally.steps} actions; now: {action}"
            )

    def failed(self, steps: list[str], error: BaseException) -> None:
        """Remember what happened: what hypothesis tries again may not fail again."""
        self.failures.append("\n".join([*steps, f"{type(error).__name__}: {error}"]))
        self.say(f"failed after {len(steps)} steps: {str(error).splitlines()[0] if str(error) else error!r}")

    def live(self, factory: Callable[[], RuleBasedStateMachine], number: int, *, shrink: bool = True) -> None:
        """Lives by the seed `number`. Raises AssertionError with everything that is known of a failure."""

        @seed(number)
        def seeded() -> RuleBasedStateMachine:
            return factory()

        phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
        wanted = settings(
            max_examples=_LIVES,
            stateful_step_count=_STEPS,
            deadline=None,
            database=None,
            derandomize=False,
            phases=phases,
            report_multiple_bugs=False,
            print_blob=False,
            verbosity=Verbosity.normal,
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(seeded, settings=wanted)  # type: ignore[arg-type]
        except TimeIsOverError:
            pass
        except FlakyStrategyDefinition:
            pass  # a life begun anew went another way: a daemon is never killed in the same moment
        except Exception as e:  # noqa: BLE001 - hypothesis may find that it does not happen each time
            self.failures = self.failures or [repr(e)]
        if self.failures:
            raise AssertionError(
                f"seed {number}, the first failure of {len(self.failures)}:\n{self.failures[0]}"
            )

    def summary(self) -> list[str]:
        """What was done, for people."""
        tally = self.tally
        times = sorted(seconds * 1000 for seconds, _ in tally.converged)
        looked = f"{tally.packets} packets looked at in {self.elapsed:.0f} s"
        lines = [
            f"{self.lives} machines, {tally.steps} actions, {looked}",
            *(f"  {count:6} × {name}" for name, count in sorted(tally.actions.items())),
            "looked at:",
            *(f"  {count:6} × {name}" for name, count in sorted(tally.checks.items())),
        ]
        if times:
            at = {f"{part} %": times[min(len(times) - 1, len(times) * part // 100)] for part in (50, 90, 99)}
            lines.append(
                "kernel = desired after an action is done, in ms: "
                + ", ".join(f"{part} {ms:.0f}" for part, ms in at.items())
                + f", longest {times[-1]:.0f}"
            )
        return lines
