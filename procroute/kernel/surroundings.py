"""The machine around what is ours: adapters, table main, others' rules, name servers, who answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from procroute.core.answers import Answer, Neighbour, unanswering
from procroute.core.gateways import gateways_of, silent_gateways
from procroute.core.machine import Machine
from procroute.kernel import (
    adapters,
    entries,
    health_file,
    leases,
    name_servers,
    neighbours,
    netns,
    resolvers,
    sysctl,
    table_names,
)
from procroute.kernel.firewalls import Firewalls
from procroute.kernel.rtnetlink import Rtnetlink
from procroute.model import Entry, Family, IPAddress, LiveRoute, Rule

MAIN: Final = 254


class Surroundings:
    """netlink: stays its owner's. families: those that this kernel has.

    heard_failing: neighbours that the kernel said had failed to answer, and that have not answered since.
    ailing, steady, given: as in Machine; they are told, and looks repeat them.
    """

    def __init__(self, netlink: Rtnetlink, families: Collection[Family]) -> None:
        self._netlink = netlink
        self._families = families
        self.heard_failing: set[Neighbour] = set()
        self.ailing: frozenset[int] = frozenset()
        self.steady: frozenset[tuple[int, float]] = frozenset()
        self.given: Mapping[str, tuple[IPAddress, ...]] = {}
        self._states: dict[Neighbour, int] = {}
        self._firewalls = Firewalls()

    def bare(self) -> Machine:
        """No more than adapters, table main and name servers: what takes no privilege. Raises OSError."""
        found = adapters.read(self._netlink)
        return Machine(
            adapters=found,
            learnt=leases.gateways(a.ifindex for a in found),
            main=tuple(self.entries(table=MAIN)),
            resolvers=resolvers.of_system(),
            ipv6=Family.IPV6 in self._families,
            given=self.given,
        )

    def whole(self, rules: tuple[Rule, ...], routes: Sequence[LiveRoute]) -> Machine:
        """All of it. rules: those that are not ours; routes: of whose gateways to ask. Raises OSError."""
        bare = self.bare()
        machine = replace(
            bare,
            rules=rules,
            rp_filter=sysctl.rp_filter(a.name for a in bare.adapters),
            checks_reverse_path=self._firewalls.check_reverse_path(),
            names_tables=netns.is_the_machines() and table_names.possible(),
            servers={
                a.ifindex: bare.given_to(a) or name_servers.of_adapter(a).addresses
                for live in routes
                if live.route.dns is None
                for a in bare.members(live)
            },
            ailing=self.ailing | health_file.ailing(),
            steady=self.steady,
        )
        gateways = gateways_of(machine, routes)
        states = self._states = neighbours.states(self._netlink, gateways)
        answers = {neighbour: neighbours.answer(state) for neighbour, state in states.items()}
        written = silent_gateways(machine, routes)
        self.heard_failing = set(unanswering(self.heard_failing | written, answers))
        failed = gateways & self.heard_failing
        probing = {neighbour for neighbour, a in answers.items() if a is Answer.AWAITED} - failed
        # One without an entry, as after a loss of carrier, is no dead one to the kernel: bystanders use it.
        stirring = {n for n in failed if answers.get(n, Answer.OLD) is Answer.OLD}
        return replace(
            machine,
            failed_gateways=failed,
            stirring_gateways=frozenset(stirring),
            probing_gateways=frozenset(probing),
        )

    def entries(self, **match: int) -> Iterator[Entry]:
        """Of both families, those that match. Raises OSError."""
        for family in self._families:
            yield from entries.read(self._netlink, family, **match)

    def ask_again(self, gateways: Collection[Neighbour]) -> None:
        """Have these gateways resolved once more."""
        for neighbour in gateways:
            neighbours.ask_again(self._netlink, neighbour, self._states.get(neighbour, 0))
