"""A lab with three uplinks, and what can become of one of them.

with three() as lab, routed(lab, via="wan1,wan2") as command:
    LOSSES["carrier"](lab)          # of wan1
    until_by(command, "wan2")
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final, Literal

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from procroute.lab.topology import VPN
from tests.netns.inhabitants import Inhabitant
from tests.netns.running import until
from tests.netns.traffic import FAMILIES, SERVER, gateway

CONFIG: Final = "/etc/procroute/config.toml"


@contextlib.contextmanager
def three(rp_filter: Literal[0, 1, 2] = 0) -> Iterator[Lab]:
    """Main prefers wan2, then wan1, then vpn0."""
    with Lab(main="both", rp_filter=rp_filter) as lab:
        vpn = lab.add(VPN)
        lab.ip(f"route add default via {gateway(vpn, 4)} dev vpn0 metric 300")
        lab.ip(f"-6 route add ::/0 via {gateway(vpn, 6)} dev vpn0 metric 300")
        yield lab


@contextlib.contextmanager
def configured(lab: Lab, text: str) -> Iterator[None]:
    """With this configuration."""
    lab.sh("mkdir -p /etc/procroute")
    lab.path(CONFIG).write_text(text)
    try:
        yield
    finally:
        lab.path(CONFIG).unlink()


def failing_over(*adapters: str, **options: object) -> str:
    """A configuration with a route `several` by these adapters; options as TOML has them."""
    given = "".join(f"{key} = {value}\n" for key, value in options.items())
    return f"[route.several]\nadapters = {list(adapters)}\n{given}"


def _no_addresses(lab: Lab) -> None:
    for family in FAMILIES:
        lab.wan1.drop_address(family)


LOSSES: Final[dict[str, Callable[[Lab], None]]] = {
    "down": lambda lab: lab.wan1.down(),
    "carrier": lambda lab: lab.wan1.carrier(False),
    "addresses": _no_addresses,
    "gone": lambda lab: lab.batch("link set wan1 name elsewhere\nlink del elsewhere\n"),
    "gateway": lambda lab: lab.wan1.silence(),
}
"""What can become of wan1. gateway: it answers no more, the link stays."""


def by(who: Inhabitant, way: str = "tcp", seconds: float = 1) -> list[str]:
    """By whom each family is answered; else the error."""
    heard = [who.ask(way, to=SERVER[f], seconds=seconds) for f in FAMILIES]
    return [one.router or one.error for one in heard]


def until_by(who: Inhabitant, *routers: str, seconds: float = 3) -> float:
    """Wait until both families are answered by this router, or fail so; how long that took, in seconds."""
    began, wanted = time.monotonic(), [*routers] * (2 // len(routers))
    until(lambda: by(who) == wanted, seconds * FACTOR)
    return time.monotonic() - began
