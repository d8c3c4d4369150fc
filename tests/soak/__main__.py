"""An hour of lives by ever new seeds: python -m tests.soak [SECONDS [SEED]].

Prints each seed as it begins, and at the end what was done. Ends with 1 at the first failure.
"""

from __future__ import annotations

import secrets
import sys

from tests.soak import oracle
from tests.soak.course import Course
from tests.soak.tunnelled_life import life_of


def main() -> int:
    """Until time is over."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3600
    number = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(1 << 32)
    course = Course(seconds, say=lambda line: print(line, flush=True))
    failure = ""
    while not course.over and not failure:
        done = f"{course.lives} machines, {course.tally.steps} actions"
        course.say(f"{course.elapsed:5.0f} s: seed {number}; so far {done}")
        try:
            course.live(life_of(course), number)
        except AssertionError as e:
            failure = str(e)
        number = secrets.randbelow(1 << 32)
    print("\n".join(course.summary()))
    for line in (*oracle.late(course.tally.converged), failure):
        if line:
            print(line)
            failure = failure or line
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
