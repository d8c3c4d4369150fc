"""A program to run in the lab's machine: explains processes there, a JSON answer for each JSON request.

    {"pid": 4711, "destination": "192.0.2.80"}

It is what `procroute explain --json` says, without a new interpreter for each question.
"""

from __future__ import annotations

import json
import sys

from procroute.cli import explanation
from procroute.engine.explain import explain
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.linux import Linux


def main() -> None:
    """Answer requests until there are no more."""
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            with Linux(Identity()) as linux:
                found = explain(linux, asked.get("pid"), asked.get("unit", ""), asked.get("destination", ""))
            print(json.dumps(json.loads(explanation.as_json(found))), flush=True)
        except ProcrouteError as e:
            print(json.dumps({"error": e.code, "message": e.message, "hint": e.hint}), flush=True)


if __name__ == "__main__":
    main()
