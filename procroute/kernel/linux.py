"""The real kernel behind the interface: one look at everything, one step at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from procroute.core import plan
from procroute.core.answers import Answer, Neighbour, unanswering
from procroute.core.door import Door, Marking
from procroute.core.gateways import gateways_of, silent_gateways
from procroute.core.machine import Machine, Observed, Ours
from procroute.identity import Identity
from procroute.kernel import (
    adapters,
    cgroups,
    entries,
    firewalls,
    libbpf,
    neighbours,
    netns,
    nft,
    programs,
    resolvers,
    rules,
    sysctl,
    table_names,
)
from procroute.kernel.refusal import refused
from procroute.kernel.rtnetlink import Rtnetlink
from procroute.model import Entry, Family, LiveRoute, Rule

MAIN = 254
_LOOKS = 10


class Linux:
    """The kernel of this machine, seen from our network namespace.

    heard_failing: neighbours that the kernel said had failed to answer, and that have not answered since.
    """

    def __init__(self, identity: Identity) -> None:
        libbpf.require()
        self.identity = identity
        self.mount = cgroups.mount_point()
        self.namespace = netns.namespace()
        self.netlink = Rtnetlink()
        self.families = tuple(f for f in Family if f is Family.IPV4 or Path("/proc/net/if_inet6").exists())
        self.heard_failing: set[Neighbour] = set()
        self._states: dict[Neighbour, int] = {}
        self._paths: dict[int, Path] = {}
        self._lives: dict[int, LiveRoute] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.netlink.close()

    def observe(self, machine: Machine | None = None) -> Observed:
        """Everything that decisions need; machine: what is known of it already, to look at ours only.

        Raises ProcrouteError kernel-refused. A look during which something changed is taken again.
        """
        looks = 0
        while True:
            try:
                return self._look(machine)
            except OSError as e:
                looks += 1
                if looks == _LOOKS:
                    raise refused(e, "dump", "tell its routing state") from e

    def _look(self, machine: Machine | None) -> Observed:
        everybodys = cgroups.targets(self.mount, self.namespace)
        targets = [t for t in everybodys if t.identity == self.identity]
        self._paths = {t.live.number: t.path for t in targets}
        self._lives = {t.live.number: t.live for t in targets}
        found = list(rules.read(self.netlink, self.families))
        machine = machine or self._machine(found, targets)
        if everybodys and not targets:
            # Routes under other numbers: what looks like ours by these may be theirs.
            return Observed(machine, Ours())
        ours = Ours(
            rules=frozenset(r for r in found if self._is_ours(r)),
            entries=frozenset(
                e for e in self._entries(protocol=self.identity.protocol) if self.identity.owns_table(e.table)
            ),
            targets=frozenset(t.live for t in targets),
            doors={
                t.live.number: a.door
                for t in targets
                if (a := programs.attached(str(t.path))) is not None and a.complete
            },
            restore=nft.read(self.identity.mark_mask),
            valid_mark=sysctl.changed(self.namespace),
            table_names=table_names.read() if machine.names_tables else {},
        )
        used = frozenset(t.live.number for t in targets if t.in_use)
        return Observed(machine, ours, used)

    def adapters_and_main(self) -> Machine:
        """A machine with no more than its adapters, table main and name servers: what takes no privilege.

        Raises OSError.
        """
        return Machine(
            adapters=adapters.read(self.netlink),
            main=tuple(self._entries(table=MAIN)),
            resolvers=resolvers.of_system(),
            ipv6=Family.IPV6 in self.families,
        )

    def _machine(self, every_rule: list[Rule], targets: list[cgroups.Target]) -> Machine:
        found = adapters.read(self.netlink)
        machine = Machine(
            adapters=found,
            main=tuple(self._entries(table=MAIN)),
            rules=tuple(r for r in every_rule if not self._is_ours(r)),
            rp_filter=sysctl.rp_filter(a.name for a in found),
            checks_reverse_path=firewalls.checks_reverse_path(),
            resolvers=resolvers.of_system(),
            ipv6=Family.IPV6 in self.families,
            names_tables=netns.is_the_machines() and table_names.possible(),
        )
        gateways = gateways_of(machine, (t.live for t in targets))
        states = self._states = neighbours.states(self.netlink, gateways)
        answers = {neighbour: neighbours.answer(state) for neighbour, state in states.items()}
        written = silent_gateways(machine, (t.live for t in targets))
        self.heard_failing = set(unanswering(self.heard_failing | written, answers))
        failed = gateways & self.heard_failing
        probing = {neighbour for neighbour, a in answers.items() if a is Answer.AWAITED} - failed
        stirring = {n for n in failed if answers.get(n) is Answer.OLD}
        return replace(
            machine,
            failed_gateways=failed,
            stirring_gateways=frozenset(stirring),
            probing_gateways=frozenset(probing),
        )

    def _is_ours(self, rule: Rule) -> bool:
        return self.identity.owns_rule(
            rule.protocol, rule.preference, rule.target if rule.action == "goto" else 0
        )

    def _entries(self, **match: int) -> Iterator[Entry]:
        for family in self.families:
            yield from entries.read(self.netlink, family, **match)

    def entries_of(self, *numbers: int) -> Iterator[Entry]:
        """What stands in these tables, whoever put it there."""
        for number in numbers:
            yield from self._entries(table=number)

    def path(self, number: int) -> Path:
        """The cgroup of a route's target, as last observed or added."""
        return self._paths[number]

    def ask_again(self, gateways: Collection[Neighbour]) -> None:
        """Have these gateways resolved once more."""
        for neighbour in gateways:
            neighbours.ask_again(self.netlink, neighbour, self._states.get(neighbour, 0))

    def apply(self, steps: Sequence[plan.Step]) -> None:
        """Do steps in order; see core/plan.py for what each is. Raises ProcrouteError when the kernel refuses
        one.

        Entries and rules go to the kernel many at a time: of those of one kind that stand together, some may
        be done behind one that was refused.
        """
        for kind, alike in groupby(steps, type):
            together = list(alike)
            try:
                self._do_alike(kind, together)
            except OSError as e:
                raise refused(e, "step", f"do {kind.__name__}") from e

    def _do_alike(self, kind: type[plan.Step], steps: Sequence[plan.Step]) -> None:
        command: entries.Command = "add" if kind in (plan.AddEntry, plan.AddRule) else "del"
        of_tables = [s.entry for s in steps if isinstance(s, plan.AddEntry | plan.DeleteEntry)]
        of_rules = [s.rule for s in steps if isinstance(s, plan.AddRule | plan.DeleteRule)]
        if of_tables:
            entries.change(self.netlink, command, of_tables)
        elif of_rules:
            rules.change(self.netlink, command, of_rules)
        else:
            for step in steps:
                self._do(step)

    def _do(self, step: plan.Step) -> None:
        match step:
            case plan.AddTarget(live):
                self._paths[live.number] = cgroups.add_target(self.mount, self.namespace, self.identity, live)
                self._lives[live.number] = live
            case plan.UpdateTarget(live):
                cgroups.describe(self._paths[live.number], self.namespace, self.identity, live)
            case plan.RemoveTarget(live):
                self._remove(live)
            case plan.SetDoor(number, door):
                self._open(number, door)
            case plan.SetRestore(restore):
                nft.write(restore, self.identity.mark_mask)
            case plan.SetValidMark(adapter, on):
                change = sysctl.set_valid_mark if on else sysctl.restore_valid_mark
                change(self.namespace, adapter)
            case plan.NameTables(names):
                table_names.write(names)

    def _remove(self, live: LiveRoute) -> None:
        cgroups.remove_tree(self._paths.pop(live.number))
        if not self._paths:
            sysctl.restore_all(self.namespace)
        cgroups.remove_root(self.mount)

    def _open(self, number: int, door: Door) -> None:
        identity, strict = self.identity, self._lives[number].route.strict
        marking = Marking(identity.mark(number), identity.mark_mask, identity.bound, strict, netns.cookie())
        programs.attach(str(self._paths[number]), marking, door)
