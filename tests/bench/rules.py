"""How long 10,000 rules take: to be read, and to be asked about a process that meets none of them.

    python -m tests.bench.rules [--rules 10000]

What is told is what this process computes; others on the machine change that less than the clock. Exits with
1 where reading takes more than LIMIT seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from procroute.rulebook.folders import load
from procroute.rulebook.index import Index
from procroute.rulebook.subject import Subject

LIMIT = 1.0
_FILES = 10
_RULE = """\
[[rule]]
comment = "number {n}"
exe = "/usr/bin/program-{n}"
user = ["ada", "bob"]
via = "wan{way}"

"""


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=10_000)
    count = parser.parse_args().rules
    with tempfile.TemporaryDirectory() as folder:
        for n in range(_FILES):
            numbers = range(n, count, _FILES)
            text = "".join(_RULE.format(n=number, way=number % 3) for number in numbers)
            path = Path(folder, f"{n}.toml")
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
        began = time.process_time()
        book = load((Path(folder),), os.geteuid())
        reading = time.process_time() - began
    if book.findings or len(book.rules) != count:
        print(f"{len(book.rules)} rules and {book.findings[:3]}", file=sys.stderr)
        return 1
    subject = Subject(exes=("/usr/bin/other",), name="other", user="ada", uids=(1000, 1000, 1000))
    index = Index(book.rules)
    began = time.process_time()
    met = index.first(subject)
    asking = time.process_time() - began
    print(f"{count} rules: read in {reading:.2f} s (at most {LIMIT} s), asked in {asking * 1000:.2f} ms")
    return 0 if reading <= LIMIT and met is None else 1


if __name__ == "__main__":
    sys.exit(main())
