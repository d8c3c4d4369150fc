"""What is said of the adapter of a process's route: how it is, and where names are looked up by it."""

from __future__ import annotations

from collections.abc import Iterator

from procroute.core.explain_case import Case
from procroute.model import LiveRoute
from procroute.protocol import Finding


def healthy(case: Case) -> Iterator[Finding]:
    """How the adapter is that it leaves by, and what its checks say."""
    nearest = case.subject.nearest
    adapter = None if nearest is None else case.machine.adapter_of(nearest.live)
    if nearest is None or adapter is None or nearest.live.by_main:
        return
    text = f"its adapter {adapter.name} is {adapter.state}"
    if case.health is None:
        yield Finding("health", f"{text}; nothing checks whether it leads anywhere")
        return
    since = f" since {case.since}" if case.since else ""
    why = f": {case.health.reason}" if case.health.reason else ""
    found = "say nothing of it" if case.health.state == "unknown" else f"find it {case.health.state}"
    yield Finding("health", f"{text}; its checks {found}{since}{why}")


def look_ups(case: Case) -> Iterator[Finding]:
    """Where names are looked up."""
    nearest = case.subject.nearest
    if nearest is None:
        listed = ", ".join(map(str, case.machine.resolvers)) or "this machine, since none is configured"
        yield Finding("dns", f"look-ups go as the machine's: to {listed}")
        return
    if nearest.owner:
        listed = ", ".join(map(str, case.machine.resolvers)) or "this machine, since none is configured"
        yield Finding("dns", f"look-ups go to the machine's name servers: {listed}")
        return
    live = nearest.live
    if live.no_lookups:
        yield Finding("dns", "look-ups are refused: no name server is known for its adapter")
    elif not live.servers:
        yield Finding("dns", "look-ups are left to the system's resolver")
    else:
        servers = ", ".join(map(str, live.servers))
        how = "" if case.steered else " by BPF"
        own = "; its resolv.conf names them" if case.subject.own_resolver else ""
        yield Finding(
            "dns",
            f"look-ups go to {servers} ({_origin(case, live)}): what it sends to port 53 of the system's "
            f"resolvers or loopback is sent there{how}{own}",
        )


def _origin(case: Case, live: LiveRoute) -> str:
    """Where a route's name servers are from, in words."""
    if live.route.dns is not None:
        return "given for the route"
    own = {*live.servers} & {*case.kept.addresses}
    if own:
        return f"of its adapter, by {case.kept.learnt}"
    behind = {*live.servers} & {*case.machine.resolvers}
    return "the system's" if behind else "of its adapter; nobody keeps them now"
