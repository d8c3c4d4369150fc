"""What the machine is like and what is ours on it: the input of every decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from procroute.core.door import Door
from procroute.core.owners import Owned
from procroute.core.ruleset import Ruleset
from procroute.model import Adapter, Entry, IPAddress, LiveRoute, Rule


class Learnt(Struct, frozen=True):
    """A gateway of an adapter that somebody keeps beside table main.

    keeper: who. leased: the address that came with it; where the adapter has that, the gateway need not lie
    in one of its subnets.
    """

    gateway: IPAddress
    keeper: str
    leased: IPAddress | None = None


class Machine(Struct, frozen=True):
    """What is there without us.

    main: the entries of table main. rules: other people's ip rules. failed_gateways: those that failed to
    answer and have not since; stirring_gateways: those of them that have spoken themselves meanwhile (STALE,
    rtnetlink(7)), or that the kernel has no entry of; probing_gateways: others that are being asked for
    (INCOMPLETE).
    rp_filter: adapter -> the value in force. checks_reverse_path: a firewall compares the way back itself
    (nft `fib`, xt_rpfilter). learnt: ifindex -> gateways that are known for an adapter beside main, the
    most trusted first. resolvers: the system's name servers. ipv6: the kernel has it. names_tables:
    this is the machine's own network namespace, whose tables may have names in /etc. ailing: ifindexes of
    adapters that a health check has found dead. steady: (ifindex, seconds) of adapters that are known to have
    been a way out for so long without a break; seconds are the hold times of the routes that are there.
    servers: ifindex -> name servers that somebody keeps for an adapter of a route that was given none.
    given: adapter's name -> name servers that the configuration gives it: they hold against the others.
    """

    adapters: tuple[Adapter, ...] = ()
    main: tuple[Entry, ...] = ()
    rules: tuple[Rule, ...] = ()
    failed_gateways: frozenset[tuple[int, IPAddress]] = frozenset()
    stirring_gateways: frozenset[tuple[int, IPAddress]] = frozenset()
    probing_gateways: frozenset[tuple[int, IPAddress]] = frozenset()
    rp_filter: Mapping[str, int] = {}
    checks_reverse_path: bool = False
    learnt: Mapping[int, tuple[Learnt, ...]] = {}
    resolvers: tuple[IPAddress, ...] = ()
    ipv6: bool = True
    names_tables: bool = False
    ailing: frozenset[int] = frozenset()
    steady: frozenset[tuple[int, float]] = frozenset()
    servers: Mapping[int, tuple[IPAddress, ...]] = {}
    given: Mapping[str, tuple[IPAddress, ...]] = {}

    def adapter(self, name: str) -> Adapter | None:
        """The adapter of that name or alternative name (ip-link(8), altname)."""
        return next((a for a in self.adapters if name == a.name or name in a.altnames), None)

    def given_to(self, adapter: Adapter) -> tuple[IPAddress, ...]:
        """The name servers that the configuration gives an adapter, by any of its names."""
        found = (self.given[name] for name in (adapter.name, *adapter.altnames) if name in self.given)
        return next(found, ())

    def adapter_of(self, live: LiveRoute) -> Adapter | None:
        """The adapter that a route leaves by: the same one while it lives, whatever it is called by now.

        Then the one of the route's name: unplugged and plugged in again, it has another ifindex.
        """
        same = self.of_index(live.ifindex)
        if same is not None or not live.members:
            return same or self.adapter(live.route.adapter)
        of_place = dict(zip(live.members, live.route.adapters, strict=False))
        return self.adapter(of_place[live.ifindex]) if live.ifindex in of_place else None

    def of_index(self, ifindex: int) -> Adapter | None:
        """The adapter of an ifindex."""
        return next((a for a in self.adapters if a.ifindex == ifindex), None)

    def listed(self, live: LiveRoute) -> tuple[Adapter | None, ...]:
        """The adapters of a route in its order: each the same one while it lives, then the one of its name.

        None: there is none now.
        """
        if not live.members:
            return (self.adapter_of(live), *map(self.adapter, live.route.others))
        pairs = zip(live.members, live.route.adapters, strict=False)
        return tuple(self.of_index(ifindex) or self.adapter(name) for ifindex, name in pairs)

    def members(self, live: LiveRoute) -> list[Adapter]:
        """Those of a route's adapters that are there."""
        return list(dict.fromkeys(a for a in self.listed(live) if a is not None))

    def outward(self) -> Iterator[Adapter]:
        """Every adapter but loopback."""
        return (a for a in self.adapters if not a.loopback)


class Ours(Struct, frozen=True):
    """What is ours in the kernel, or should be.

    targets: the routes that have a cgroup. doors: route number -> what its guard lets through, where all of
    its programs are attached. ruleset: what our nft table is to do, None: there is to be none. That cannot be
    read back: fingerprint (core/nft_text.py) tells whether the one that is there does. valid_mark: adapters
    whose src_valid_mark we have set. table_names: number -> name for ip(8). owners: whose sockets are marked
    by whose they are; None: the programs for that are there in part.
    """

    rules: frozenset[Rule] = frozenset()
    entries: frozenset[Entry] = frozenset()
    targets: frozenset[LiveRoute] = frozenset()
    doors: Mapping[int, Door] = {}
    ruleset: Ruleset | None = None
    fingerprint: str = ""
    valid_mark: frozenset[str] = frozenset()
    table_names: Mapping[int, str] = {}
    owners: frozenset[Owned] | None = frozenset()


class Observed(Struct, frozen=True):
    """One look at the kernel. populated: the numbers of routes with living processes, or an engine's care."""

    machine: Machine
    ours: Ours
    populated: frozenset[int] = frozenset()

    def alive(self) -> tuple[LiveRoute, ...]:
        """The routes that somebody uses. The others are what a killed engine left behind."""
        return tuple(sorted((t for t in self.ours.targets if t.number in self.populated), key=_number))


def _number(live: LiveRoute) -> int:
    return live.number
