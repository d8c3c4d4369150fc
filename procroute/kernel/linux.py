"""The real kernel behind the interface: one look at everything, one step at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

from procroute.core import plan
from procroute.core.answers import Neighbour
from procroute.core.door import Door
from procroute.core.machine import Machine, Observed, Ours
from procroute.core.ruleset import Ruleset
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import (
    entries,
    libbpf,
    nft,
    owners,
    programs,
    records,
    rules,
    sockets,
    sysctl,
    table_names,
)
from procroute.kernel.refusal import may_pass, refused
from procroute.kernel.rtnetlink import Rtnetlink
from procroute.kernel.surroundings import Surroundings
from procroute.kernel.targets import Targets
from procroute.model import Entry, Family, IPAddress, Marks, Rule

_LOOKS = 10


class Linux(Targets):
    """The kernel of this machine, seen from our network namespace."""

    def __init__(self, identity: Identity) -> None:
        libbpf.require()
        super().__init__(identity)
        self.netlink = Rtnetlink()
        self.families = tuple(f for f in Family if f is Family.IPV4 or Path("/proc/net/if_inet6").exists())
        self._surroundings = Surroundings(self.netlink, self.families)
        self._table = nft.Reader(self.cgroup_mount)

    @property
    def heard_failing(self) -> set[Neighbour]:
        """See Surroundings."""
        return self._surroundings.heard_failing

    @heard_failing.setter
    def heard_failing(self, heard: set[Neighbour]) -> None:
        self._surroundings.heard_failing = heard

    def tell(
        self,
        *,
        ailing: frozenset[int] | None = None,
        steady: frozenset[tuple[int, float]] | None = None,
        given: Mapping[str, tuple[IPAddress, ...]] | None = None,
    ) -> None:
        """See Kernel."""
        known = self._surroundings
        known.ailing = known.ailing if ailing is None else ailing
        known.steady = known.steady if steady is None else steady
        known.given = known.given if given is None else given

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.netlink.close()

    def observe(self, machine: Machine | None = None, doors: Mapping[int, Door] | None = None) -> Observed:
        """Everything that decisions need; machine: what is known of it already, to look at ours only.

        doors: those of routes, where they are known as well: to look at these takes most of the time.

        Raises ProcrouteError kernel-refused or bpf-refused. A look during which something changed is taken
        again, and one that failed for a reason that may pass.
        """
        looks = 0
        while True:
            try:
                return self._look(machine, doors)
            except (OSError, ProcrouteError) as e:
                looks += 1
                if looks == _LOOKS or not may_pass(e):
                    if isinstance(e, ProcrouteError):
                        raise
                    raise refused(e, "dump", "tell its routing state") from e

    def _look(self, machine: Machine | None, doors: Mapping[int, Door] | None) -> Observed:
        everybodys, targets = self.find_targets()
        further = self.further_targets()
        found = list(rules.read(self.netlink, self.families))
        if machine is None:
            others = tuple(rule for rule in found if not self._is_ours(rule))
            machine = self._surroundings.whole(others, [t.live for t in targets])
        if everybodys and not targets:
            # Routes under other numbers: what looks like ours by these may be theirs.
            return Observed(machine, Ours())
        ours = Ours(
            rules=frozenset(r for r in found if self._is_ours(r)),
            entries=frozenset(
                e
                for e in self._surroundings.entries(protocol=self.identity.protocol)
                if self.identity.owns_table(e.table)
            ),
            targets=frozenset(t.live for t in targets),
            doors=self._doors(targets, further) if doors is None else doors,
            fingerprint=self._table.fingerprint(self._in_nft((*targets, *further))),
            valid_mark=sysctl.changed(self.namespace),
            table_names=table_names.read() if machine.names_tables else {},
            owners=owners.read(self.mount, self.identity),
        )
        used = frozenset(t.live.number for t in (*targets, *further) if t.in_use)
        return Observed(machine, ours, used)

    @staticmethod
    def _in_nft(targets: Iterable[records.Target]) -> dict[int, list[Path]]:
        """The cgroups that our nft table has to know, by route."""
        found: dict[int, list[Path]] = {}
        for target in targets:
            if target.live.marks is not Marks.SOCKETS:
                found.setdefault(target.live.number, []).append(target.path)
        return found

    def _doors(
        self, targets: Iterable[records.Target], further: Collection[records.Target]
    ) -> dict[int, Door]:
        """Of the routes whose programs are all there, on each of their targets."""
        return {
            t.live.number: a.door
            for t in targets
            if t.live.marks is not Marks.PACKETS
            and (a := programs.attached(str(t.path))) is not None
            and a.complete
            and all(self._is_like(f.path, a) for f in further if f.live.number == t.live.number)
        }

    @staticmethod
    def _is_like(path: Path, other: programs.Attached) -> bool:
        """Whether a further target has the same programs."""
        own = programs.attached(str(path))
        return own is not None and own.complete and own.door == other.door and own.marking == other.marking

    def adapters_and_main(self) -> Machine:
        """A machine with no more than its adapters, table main and name servers: what takes no privilege.

        Raises OSError.
        """
        return self._surroundings.bare()

    def _is_ours(self, rule: Rule) -> bool:
        return self.identity.owns_rule(
            rule.protocol, rule.preference, rule.target if rule.action == "goto" else 0
        )

    def entries_of(self, *numbers: int) -> Iterator[Entry]:
        """What stands in these tables, whoever put it there."""
        for number in numbers:
            yield from self._surroundings.entries(table=number)

    def _paths_of(self, ruleset: Ruleset | None) -> dict[int, list[Path]]:
        """The cgroups of all of its routes' targets."""
        found = {number: [self._paths[number]] for number in (ruleset.numbers if ruleset else ())}
        for target in self.further_targets():
            if target.live.number in found:
                found[target.live.number].append(target.path)
        return found

    def carried(self) -> tuple[frozenset[int], frozenset[int]]:
        """The numbers of routes that sockets carry, and those that only closed connections do (TIME_WAIT).

        None where the kernel cannot tell (sockets.with_mark). Raises ProcrouteError.
        """
        identity = self.identity
        try:
            found = [
                (identity.number(one.mark or 0), one.state == sockets.TIME_WAIT)
                for protocol in (sockets.TCP, sockets.UDP)
                for one in sockets.with_any_mark(protocol, identity.number_mask)
            ]
        except OSError as e:
            raise refused(e, "socket", "list sockets") from e
        used = frozenset(number for number, closed in found if not closed)
        return used, frozenset(number for number, closed in found if closed) - used

    def ask_again(self, gateways: Collection[Neighbour]) -> None:
        """Have these gateways resolved once more."""
        self._surroundings.ask_again(gateways)

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
                self._add(live)
            case plan.UpdateTarget(live):
                for path in self.paths(live.number):
                    records.describe(path, self.namespace, self.identity, live)
            case plan.RemoveTarget(live):
                self._remove(live)
            case plan.SetDoor(number, door):
                self._open(number, door)
            case plan.SetOwners(wanted):
                owners.put(self.mount, self.identity, wanted)
            case plan.SetRuleset(ruleset):
                nft.write(ruleset, self.cgroup_mount, self._paths_of(ruleset))
            case plan.SetValidMark(adapter, on):
                change = sysctl.set_valid_mark if on else sysctl.restore_valid_mark
                change(self.namespace, adapter)
            case plan.NameTables(names):
                table_names.write(names)
