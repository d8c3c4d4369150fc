"""The ip rules, in their order.

Offsets from the first preference (4400):

    0    no number of a route: goto the end; bystanders are out after one comparison
    1    not bound: goto the tree
    2    strict routes, those with given gateways, and addresses that several adapters have: bound to one of
         their adapter: their own table
    3    bound: the LAN
    4    bound to an address of an adapter that leads out: that adapter's table
    5    the tree: `goto` on the bits of the route's number down to its table
    280  what goes on by an adapter that a route left, from its addresses: the LAN
    281  the same: that adapter's table
    282  all else of such a route: its own table
    297  multicast follows main (bystanders do not come here)
    298  outer packets of the kernel's tunnels, by the UDP port that they are sent from: the table of the
         route that they take; where there are some, bystanders come here, else to 299
    299  whatever carries a route's number and found no table: unreachable; such outer packets, too

Just before the first of other people's rules that stand before ours: what is ours goes over them, and so do
such outer packets. The kernel gives a rule without a preference the number before the first one behind
`local`, so that a VPN that comes up later lands there (net/core/fib_rules.c, fib_default_rule_pref).

The tree leads a route that has left an adapter to 280 in place of its table.

The bound bit alone is that of a socket which was let go, and is a bystander's by now (kernel/bpf/route.h).

The tree's gotos only save comparisons: each leaf compares the whole number, so a missing or stale goto
costs time and never misroutes. `unreachable` is a rule, not an entry of the table: in IPv6 the kernel
prefers an unreachable entry over a gateway whose neighbour entry failed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_network

from msgspec.structs import replace

from procroute.core.failover import going_on
from procroute.core.gateways import leads_out
from procroute.core.machine import Machine
from procroute.core.tables import FOLLOWS_MAIN, families
from procroute.identity import Identity
from procroute.model import Adapter, Family, IPAddress, IPNetwork, LiveRoute, Rule

MAIN, LOCAL = 254, 255
L3MDEV = 0  # such a rule names no table (FRA_L3MDEV)
_UNBOUND, _OWN, _LAN, _BOUND, _TREE, _MULTICAST = 1, 2, 3, 4, 5, 297
_OUTER, _END = 298, 299
_OLD_LAN, _OLD, _NOT_OLD = 280, 281, 282


def desired_rules(identity: Identity, machine: Machine, routes: Collection[LiveRoute]) -> list[Rule]:
    """Every ip rule that the routes need, both families; none without routes."""
    if not routes:
        return []
    return [rule for family in families(machine) for rule in _family(identity, machine, routes, family)]


def _family(
    identity: Identity, machine: Machine, routes: Collection[LiveRoute], family: Family
) -> Iterable[Rule]:
    first, protocol = identity.preference, identity.protocol
    mask, numbers, bound = identity.mark_mask, identity.number_mask, identity.bound

    def rule(offset: int, action: str, target: int = 0, **match: object) -> Rule:
        return Rule(family, first + offset, action, target, protocol=protocol, **match)  # type: ignore[arg-type]

    by_number = sorted(routes, key=lambda r: r.number)
    # Before what stands at 0, beside `local`, nothing can be put.
    others = (r.preference for r in machine.rules if stands_before(identity, r, family))
    before = min(filter(None, others), default=0)
    outer = list(_outer(identity, machine, by_number, family, before))
    yield from outer
    if before:
        yield Rule(family, before - 1, "goto", first, 0, numbers, True, protocol=protocol)
    old = {r.number: _old_addresses(machine, r, family) for r in by_number}
    leaves = {r.number: _leaf(identity, r, old=bool(old[r.number])) for r in by_number}
    tree = list(_tree(identity, leaves, family))
    end = first + _OUTER if outer else identity.last_preference
    yield rule(0, "goto", end, mark=0, mask=numbers)
    yield rule(_UNBOUND, "goto", min(r.preference for r in tree), mark=0, mask=bound)
    for live in routes:
        mark, table = identity.mark(live.number) | bound, identity.route_table(live.number)
        for address in _own_addresses(machine, live, family):
            yield rule(_OWN, "table", table, mark=mark, mask=mask, source=_host(address))
    yield rule(_LAN, "table", identity.table, mark=bound, mask=bound)
    for adapter in machine.outward():
        if not leads_out(machine, adapter, family, routes):
            continue
        for address in adapter.usable(family):
            table = identity.adapter_table_of(adapter.ifindex)
            yield rule(_BOUND, "table", table, mark=bound, mask=bound, source=_host(address))
    yield from tree
    for live in by_number:
        yield from _going_on(identity, live, old[live.number], family)
    if family is Family.IPV4:
        for destination in FOLLOWS_MAIN:
            yield rule(_MULTICAST, "table", MAIN, destination=destination)
    yield rule(_END, "unreachable", mark=0, mask=numbers, inverted=True)


def _own_addresses(machine: Machine, live: LiveRoute, family: Family) -> tuple[IPAddress, ...]:
    """The addresses of a route's adapter whose sockets do not follow that adapter's table but the route's.

    All, where the route is not as the adapter's table is; else those that another adapter has as well: a rule
    for an address leads to one of them.
    """
    route, adapter = live.route, machine.adapter_of(live)
    if adapter is None or live.by_main:
        return ()
    if route.strict or route.gateway4 is not None or route.gateway6 is not None:
        return adapter.usable(family)
    others = {ip for a in machine.outward() if a.ifindex != adapter.ifindex for ip in a.usable(family)}
    return tuple(ip for ip in adapter.usable(family) if ip in others)


def _going_on(
    identity: Identity, live: LiveRoute, old: Collection[tuple[IPAddress, Adapter]], family: Family
) -> Iterable[Rule]:
    """The rules by which connections from addresses of adapters that a route left go on."""

    def rule(offset: int, table: int, source: IPNetwork | None) -> Rule:
        mark, mask = identity.mark(live.number), identity.number_mask
        return Rule(
            family,
            identity.preference + offset,
            "table",
            table,
            mark,
            mask,
            source=source,
            protocol=identity.protocol,
        )

    for address, adapter in old:
        if not live.route.strict:
            yield rule(_OLD_LAN, identity.table, _host(address))
        yield rule(_OLD, identity.adapter_table_of(adapter.ifindex), _host(address))
    if old:
        yield rule(_NOT_OLD, identity.route_table(live.number), None)


def _old_addresses(machine: Machine, live: LiveRoute, family: Family) -> list[tuple[IPAddress, Adapter]]:
    """The addresses from which a route's connections go on by another adapter, with that."""
    return [(address, a) for a in going_on(machine, live, family) for address in a.usable(family)]


def _outer(
    identity: Identity, machine: Machine, routes: Iterable[LiveRoute], family: Family, before: int
) -> Iterable[Rule]:
    """The rules for outer packets of the kernel's tunnels that are there. before: where the first of other
    people's rules stands that comes before ours; 0: there is none."""
    for live in routes:
        for port in sorted({port for ifindex, port in live.tunnels if port and machine.of_index(ifindex)}):
            ours = Rule(family, 0, "goto", protocol=identity.protocol, udp_port=port)
            here, end = identity.preference + _OUTER, identity.preference + _END
            if before:  # by where it leads it is known to be ours (Identity.owns_rule)
                yield replace(ours, preference=before - 1, target=identity.preference)
            action, table = _leaf(identity, live, old=False)
            yield replace(ours, preference=here, action=action, target=table)
            yield replace(ours, preference=end, action="unreachable")


def _leaf(identity: Identity, live: LiveRoute, *, old: bool) -> tuple[str, int]:
    """What the tree leads a route to: an action and its target."""
    if old:
        return "goto", identity.preference + _OLD_LAN + live.route.strict
    return "table", MAIN if live.by_main else identity.route_table(live.number)


def stands_before(identity: Identity, rule: Rule, family: Family) -> bool:
    """Whether somebody else's rule comes before ours and could take a packet: not local, not l3mdev."""
    leads_away = rule.action != "table" or rule.target not in (LOCAL, L3MDEV)
    return rule.family is family and rule.preference < identity.preference and leads_away


def _tree(identity: Identity, leaves: Mapping[int, tuple[str, int]], family: Family) -> Iterable[Rule]:
    """Leaves and gotos for the route numbers, each at the place that a full tree in pre-order gives it.

    leaves: number -> action and target, in their order.
    """

    all_bits = identity.number_bits

    def place(number: int, bits: int) -> int:
        """The pre-order place of the node that the top `bits` bits of a number lead to."""
        at = 0
        for depth in range(bits):
            below = (1 << (all_bits - depth)) - 1  # nodes under this one's half
            at += 1 + (below if number >> (all_bits - 1 - depth) & 1 else 0)
        return at

    def walk(members: list[int], depth: int) -> tuple[list[Rule], int]:
        base = identity.preference + _TREE
        if len(members) == 1:
            number = members[0]
            preference = base + place(number, all_bits)
            leaf = Rule(
                family,
                preference,
                *leaves[number],
                identity.mark(number),
                identity.number_mask,
                protocol=identity.protocol,
            )
            return [leaf], preference
        bit = 1 << (all_bits - 1 - depth)
        low, high = [n for n in members if not n & bit], [n for n in members if n & bit]
        if not low or not high:
            return walk(low or high, depth + 1)
        low_rules, _ = walk(low, depth + 1)
        high_rules, high_first = walk(high, depth + 1)
        preference = base + place(members[0], depth)
        mark = identity.mark(bit)
        skip = Rule(family, preference, "goto", high_first, mark, mark, protocol=identity.protocol)
        return [skip, *low_rules, *high_rules], preference

    return walk([*leaves], 0)[0]


def _host(address: IPAddress) -> IPNetwork:
    return ip_network(address)
