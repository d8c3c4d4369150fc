"""What there is, for people to look at; nothing is changed."""

from __future__ import annotations

import os

from procroute.core.overview import AdapterView, adapters
from procroute.identity import Identity
from procroute.kernel import resolvers
from procroute.kernel.linux import Linux


def adapter_views(identity: Identity) -> list[AdapterView]:
    """Every adapter but loopback. Who uses it is told to root only: a cgroup says it to nobody else.

    Raises ProcrouteError.
    """
    with Linux(identity) as linux:
        if os.geteuid() == 0:
            observed = linux.observe()
            machine, routes = observed.machine, observed.alive()
        else:
            machine, routes = linux.adapters_and_main(), ()
    servers = {a.ifindex: resolvers.of_adapter(a.ifindex) for a in machine.outward()}
    return adapters(machine, routes, servers)
