"""What the tests in virtual machines came to, suite by suite: python -m tests.vm.matrix SUITE...

Reads what pytest said there, build/vm/results/SUITE/JOB.log, also where a machine died on the way. Prints two
tables: what was run on which versions, and the tests that did not pass, where there are such.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).resolve().parents[2] / "build/vm/results"
PASSED, SKIPPED, FAILED, NOT_RUN = "passed", "skipped", "failed", "–"
_OUTCOMES: Final = {
    "PASSED": PASSED,
    "XFAIL": PASSED,
    "SKIPPED": SKIPPED,
    "FAILED": FAILED,
    "ERROR": FAILED,
    "XPASS": FAILED,
}
_RANKS: Final = (PASSED, SKIPPED, FAILED)
_VERSIONS: Final = re.compile(r"^Linux (\S+), nft (\S+), systemd (\S+),", re.MULTILINE)
_TEST: Final = re.compile(r"^\[gw\d+\] \[ *\d+%\] (?P<outcome>[A-Z]+) (?P<test>tests/.*?)\s*$", re.MULTILINE)
_FOUND: Final = re.compile(r"^\d+ workers? \[(\d+) items?\]", re.MULTILINE)


@dataclass(slots=True)
class Suite:
    """One suite's results. outcomes: by test; found: how many tests its jobs had; silent: jobs with none."""

    name: str
    versions: tuple[str, str, str] = ("?", "?", "?")
    outcomes: dict[str, str] = field(default_factory=dict)
    found: int = 0
    silent: list[str] = field(default_factory=list)

    def take(self, job: str, log: str) -> None:
        """Add what a job said. A test that is told of twice (its end failed) counts by the worse."""
        if said := _VERSIONS.search(log):
            self.versions = (said[1], said[2], said[3])
        if found := _FOUND.search(log):
            self.found += int(found[1])
        else:
            self.silent.append(job)
        for told in _TEST.finditer(log):
            new = _OUTCOMES[told["outcome"]]
            old = self.outcomes.get(told["test"], PASSED)
            self.outcomes[told["test"]] = max(old, new, key=_RANKS.index)

    def count(self, outcome: str) -> int:
        """How many tests came out so."""
        return sum(found == outcome for found in self.outcomes.values())

    @property
    def right(self) -> bool:
        """Whether every test that was found has passed, or says why it does not apply."""
        return 0 < self.found == len(self.outcomes) and not self.silent and not self.count(FAILED)


def read(name: str, results: Path = RESULTS) -> Suite:
    """A suite's results; of a suite that was not run, none."""
    suite = Suite(name)
    for log in sorted((results / name).glob("*.log")):
        suite.take(log.stem, log.read_text(errors="replace"))
    return suite


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """A table of Markdown; the first row is its head."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, row, widths))} |" for row in cells)


def what_was_run(suites: Iterable[Suite]) -> str:
    """One row a suite."""
    rows: list[tuple[str, ...]] = [("suite", "Linux", "nft", "systemd", PASSED, FAILED, SKIPPED, "not run")]
    for suite in suites:
        counts = [suite.count(outcome) for outcome in (PASSED, FAILED, SKIPPED)]
        rows.append((suite.name, *suite.versions, *map(str, [*counts, suite.found - sum(counts)])))
    return table(rows)


def what_differs(suites: Iterable[Suite]) -> str:
    """One row for each test that a suite did not pass; nothing where there is none."""
    columns: Mapping[str, Suite] = {suite.name: suite for suite in suites}
    tests = dict.fromkeys(test for suite in columns.values() for test in suite.outcomes)
    rows = [
        (test, *(suite.outcomes.get(test, NOT_RUN) for suite in columns.values()))
        for test in tests
        if any(suite.outcomes.get(test, PASSED) != PASSED for suite in columns.values())
    ]
    return table([("test", *columns), *rows]) if rows else ""


def main() -> int:
    """Print it; the exit status says whether all is right."""
    suites = [read(name) for name in sys.argv[1:]]
    print(what_was_run(suites))
    if rows := what_differs(suites):
        print(f"\n{rows}")
    for suite in suites:
        for job in suite.silent:
            print(f"\n{suite.name}: {job} came to no test: build/vm/results/{suite.name}/{job}.log")
    return not all(suite.right for suite in suites)


if __name__ == "__main__":
    sys.exit(main())
