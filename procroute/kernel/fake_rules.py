"""ip rules in memory, which are compared as Linux does (net/core/fib_rules.c).

Tried beside Linux 6.18 by tests/unit/test_fake_is_like_linux.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from procroute.core.overlap import text
from procroute.core.plan import same_to_kernel
from procroute.errors import ProcrouteError
from procroute.model import Rule


class FakeRules(list[Rule]):
    """The rules in their order."""

    def add(self, rule: Rule) -> None:
        """fib_nl_newrule: a new one stands behind those of its preference; one that is there is no error."""
        _check(rule)
        if any(_as_far_as(rule, there, marks=True) == same_to_kernel(rule) for there in self):
            return
        self.insert(sum(there.preference <= rule.preference for there in self), rule)

    def delete(self, rule: Rule) -> None:
        """rule_find: the first that matches goes; none is no error."""
        _check(rule)
        for i, there in enumerate(self):
            if _as_far_as(rule, there, marks=False) == same_to_kernel(rule):
                del self[i]
                return

    def keep(self, rules: Iterable[Rule]) -> None:
        """Only these are left: somebody deleted the others."""
        self[:] = rules


def _as_far_as(said: Rule, there: Rule, *, marks: bool) -> Rule:
    """A rule as far as Linux compares it: addresses that are not said are not, nor marks and ports for
    deleting."""
    return replace(
        same_to_kernel(there),
        source=there.source if said.source else None,
        destination=there.destination if said.destination else None,
        mark=there.mark if marks or said.mark else 0,
        mask=there.mask if marks or said.mask else 0,
        udp_port=there.udp_port if marks or said.udp_port else 0,
    )


def _check(rule: Rule) -> None:
    if rule.action == "goto" and rule.target <= rule.preference:
        raise ProcrouteError("kernel-refused", f"the kernel refused {text(rule)}: backward goto")
