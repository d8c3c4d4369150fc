"""What carries our protocol number and lies outside all ranges that are known to be ours.

A cleanup cannot tell whether it was made by procroute under numbers that nobody remembers, or is somebody
else's: it is named and left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from procroute.core.overlap import text
from procroute.identity import Identity
from procroute.kernel import entries, rules
from procroute.kernel.rtnetlink import Rtnetlink
from procroute.model import Family


def strays(
    netlink: Rtnetlink, families: Collection[Family], identities: Collection[Identity]
) -> Iterator[str]:
    """Rules, and tables with entries, in words. identities: those whose ranges are known. Raises OSError."""
    protocols = {identity.protocol for identity in identities}
    for rule in rules.read(netlink, families):
        goto = rule.target if rule.action == "goto" else 0
        known = any(i.owns_rule(rule.protocol, rule.preference, goto) for i in identities)
        if rule.protocol in protocols and not known:
            yield f"rule {text(rule)}"
    for family in families:
        found = {e.table for p in protocols for e in entries.read(netlink, family, protocol=p)}
        for table in sorted(found):
            if not any(identity.owns_table(table) for identity in identities):
                yield f"table {table} ({family.title})"
