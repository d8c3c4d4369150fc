"""What others do to what is ours, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from procroute.lab import Lab
from tests.netns.traffic import as_networkd, delete_our_rules, without_our_rules


def _sh(script: str) -> Callable[[Lab], object]:
    return lambda lab: lab.sh(script)


DAMAGE: Final[dict[str, Callable[[Lab], object]]] = {
    "flush the ruleset": _sh("nft flush ruleset"),
    "delete our nft table": _sh("nft delete table inet procroute 2>/dev/null || true"),
    "delete the IPv4 rules": _sh(without_our_rules(4)),
    "delete the IPv6 rules": _sh(without_our_rules(6)),
    "delete all rules": delete_our_rules,
    "flush our tables": _sh("for f in 4 6; do ip -$f route flush table all proto 112; done"),
    "restart networkd": as_networkd,
}
