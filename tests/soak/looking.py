"""A program that looks from outside whether the kernel is right, and asks the daemon what is routed.

    {"how": "look", "seconds": 20}    until nothing is missing, or so long
    {"missing": [], "seconds": 0.04, "look": 0.02}
    {"how": "ps"}
    {"routed": {"4711": "wan1"}}

It makes the plan that the daemon would make (observe, desired, plan), and never carries one out.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from procroute import protocol
from procroute.client import Client
from procroute.core.step_words import things
from procroute.engine.reconcile import alive, steps
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.linux import Linux


def look(seconds: float) -> dict[str, Any]:
    """What is missing at last; how long that took, and the quickest look alone."""
    began = time.monotonic()
    quickest = seconds
    with Linux(Identity()) as linux:
        while True:
            now = time.monotonic()
            missing = _missing(linux)
            quickest = min(quickest, time.monotonic() - now)
            if not missing or now - began > seconds:
                return {"missing": missing, "seconds": now - began, "look": quickest}
            time.sleep(0.005)


def _missing(linux: Linux) -> list[str]:
    try:
        observed = linux.observe()
        return list(things(steps(linux.identity, observed, alive(observed))))
    except ProcrouteError as e:
        return [str(e)]


def ps() -> dict[str, Any]:
    """The adapter of each process that is assigned, by its PID."""
    with Client() as client:
        found = client.ask(protocol.Ps()).assignments
    return {"routed": {str(process.pid): a.adapter for a in found for process in a.processes}}


def main() -> None:
    """Answer requests until there are no more."""
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            said = ps() if request["how"] == "ps" else look(request["seconds"])
        except ProcrouteError as e:
            said = {"error": str(e)}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
