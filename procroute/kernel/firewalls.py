"""What other people's firewalls do that decides what ours must."""

from __future__ import annotations

from pathlib import Path

from procroute.identity import NFT_TABLE
from procroute.kernel import nf_tables


class Firewalls:
    """Looks at their rules again only where nf_tables changed."""

    def __init__(self) -> None:
        self._seen: nf_tables.Unchanged[bool] = nf_tables.Unchanged()

    def check_reverse_path(self) -> bool:
        """Whether somebody's compares the way back itself: nft `fib`, or the rpfilter match of iptables.

        What iptables-legacy holds is not read: where it has a table in which rpfilter may stand, the answer
        is yes. Raises OSError.
        """
        if self._seen.get(_has_a_match):
            return True
        legacy = (Path(f"/proc/net/{family}_tables_names") for family in ("ip", "ip6"))
        return any({"raw", "mangle"} & set(f.read_text().split()) for f in legacy if f.exists())


def _has_a_match() -> bool:
    return any(b"fib\0" in data or b"rpfilter\0" in data for data in nf_tables.every_rule(but=NFT_TABLE))
