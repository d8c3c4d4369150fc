"""A kernel in memory, behind the same interface as linux.py, that can be told to fail or to die at any step.

    fake = Fake(machine, Identity())
    fake.fault = crash_at(7)
    reconcile(fake, fake.identity, routes)      # Crash
    fake.fault = None
    reconcile(fake, fake.identity)              # what the next engine does

It answers as Linux does where our steps can tell: rules that differ only in where `goto` leads are the same
rule; IPv6 entries with gateways for one destination become one; nothing is added by an adapter that is down;
what goes by an adapter goes with it. Used by tests, of procroute and of what is built on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import Enum

from msgspec.structs import replace

from procroute.core import plan
from procroute.core.answers import Neighbour
from procroute.core.door import Door
from procroute.core.machine import Machine, Observed, Ours
from procroute.core.nft_text import fingerprint
from procroute.core.owners import Owned
from procroute.core.ruleset import Ruleset
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.fake_rules import FakeRules
from procroute.kernel.fake_tables import FakeTables
from procroute.model import Adapter, Entry, IPAddress, LiveRoute


class Crash(BaseException):
    """The engine died here. No handler of errors sees it, as none sees SIGKILL."""


class When(Enum):
    """Where in a step a fault hook is called."""

    BEFORE = "before"
    AFTER = "after"


Fault = Callable[[plan.Step, When], None]


def crash_at(count: int) -> Fault:
    """A fault hook that raises Crash at its count-th call, from 0; each step calls it twice."""
    calls = iter(range(count + 1))

    def fault(step: plan.Step, when: When) -> None:
        if next(calls, None) == count:
            raise Crash(f"{when.value} {step}")

    return fault


class Fake:
    """The kernel's side of a machine. populated: the numbers of routes with living processes.

    carrying, closing: the numbers that sockets carry, and closed connections. steps: what was done, for tests
    to look at. fault: called before and after each step; may raise Crash or ProcrouteError.
    """

    def __init__(self, machine: Machine, identity: Identity) -> None:
        self.identity = identity
        self.machine = machine
        self.rules = FakeRules()
        self.tables = FakeTables()
        self.targets: dict[int, LiveRoute] = {}
        self.populated: set[int] = set()
        self.heard_failing: set[tuple[int, IPAddress]] = set()
        self.doors: dict[int, Door] = {}
        self.ruleset: Ruleset | None = None
        self.valid_mark: set[str] = set()
        self.table_names: dict[int, str] = {}
        self.owners: frozenset[Owned] | None = frozenset()
        self.asked: list[tuple[int, IPAddress]] = []
        self.steps: list[plan.Step] = []
        self.fault: Fault | None = None
        self.carrying: set[int] = set()
        self.closing: set[int] = set()

    def observe(
        self,
        machine: Machine | None = None,
        doors: Mapping[int, Door] | None = None,  # noqa: ARG002 - these cost nothing to look at
    ) -> Observed:
        """What is there now; machine: what is known of it already, which may be old by now."""
        own = self.identity
        ours = Ours(
            rules=frozenset(
                r
                for r in self.rules
                if own.owns_rule(r.protocol, r.preference, r.target if r.action == "goto" else 0)
            ),
            entries=frozenset(
                e for e in self.entries if e.protocol == own.protocol and own.owns_table(e.table)
            ),
            targets=frozenset(self.targets.values()),
            doors=dict(self.doors),
            ruleset=self.ruleset,
            fingerprint=fingerprint(self.ruleset),
            valid_mark=frozenset(self.valid_mark),
            table_names=dict(self.table_names),
            owners=self.owners,
        )
        owned = {number for number, live in self.targets.items() if live.owners}
        used = self.populated & self.targets.keys() | owned
        return Observed(machine or self.machine, ours, frozenset(used))

    def tell(
        self,
        *,
        ailing: frozenset[int] | None = None,
        steady: frozenset[tuple[int, float]] | None = None,
        given: Mapping[str, tuple[IPAddress, ...]] | None = None,
    ) -> None:
        """See Kernel."""
        now = self.machine
        self.machine = replace(
            now,
            ailing=now.ailing if ailing is None else ailing,
            steady=now.steady if steady is None else steady,
            given=now.given if given is None else given,
        )

    def entries_of(self, *numbers: int) -> Iterator[Entry]:
        """What stands in these tables, whoever put it there."""
        return (e for e in self.entries if e.table in numbers)

    def carried(self) -> tuple[frozenset[int], frozenset[int]]:
        """See Kernel."""
        return frozenset(self.carrying), frozenset(self.closing - self.carrying)

    def ask_again(self, gateways: Collection[Neighbour]) -> None:
        """Note that these gateways were asked for."""
        self.asked += sorted(gateways, key=lambda n: (n[0], n[1].version, n[1]))

    def apply(self, steps: Iterable[plan.Step]) -> None:
        """Do steps in order. Raises ProcrouteError where Linux would refuse one; those behind it are left."""
        for step in steps:
            if self.fault:
                self.fault(step, When.BEFORE)
            self._do(step)
            self.steps.append(step)
            if self.fault:
                self.fault(step, When.AFTER)

    def _do(self, step: plan.Step) -> None:
        match step:
            case plan.AddEntry(entry):
                self.tables.add(entry, self.machine)
            case plan.DeleteEntry(entry):
                self.tables.delete(entry)
            case plan.AddRule(rule):
                self.rules.add(rule)
            case plan.DeleteRule(rule):
                self.rules.delete(rule)
            case plan.AddTarget(live):
                self._add_target(live)
            case plan.UpdateTarget(live):
                self._target(live.number)
                self.targets[live.number] = live
            case plan.RemoveTarget(live):
                self._remove_target(live)
            case plan.SetDoor(number, door):
                self._target(number)
                self.doors[number] = door
            case plan.SetValidMark(adapter, on):
                self._set_valid_mark(adapter, on)
            case _:
                self._set(step)

    def _set(self, step: plan.Step) -> None:
        """What is there once, and replaced whole."""
        match step:
            case plan.SetOwners(owners):
                self.owners = owners
            case plan.SetRuleset(ruleset):
                self.ruleset = ruleset
            case plan.NameTables(names):
                self.table_names = dict(names)

    @property
    def entries(self) -> list[Entry]:
        """What stands in tables other than main."""
        return self.tables.entries

    @entries.setter
    def entries(self, entries: list[Entry]) -> None:
        self.tables.entries = entries

    def become(self, machine: Machine) -> None:
        """The machine is like this now; what its adapters no longer carry goes."""
        self.machine = machine
        self.valid_mark = {name for name in self.valid_mark if machine.adapter(name)}
        self.tables.follow(machine)

    def link_down(self, name: str) -> None:
        """An adapter is set down: its entries go from every table, its IPv6 addresses too."""
        adapter = self._adapter(name)
        stay = tuple(a for a in adapter.addresses if a.interface.version == 4)
        others = tuple(a for a in self.machine.adapters if a is not adapter)
        down = replace(adapter, up=False, carrier=False, addresses=stay)
        main = tuple(
            e for e in self.machine.main if not e.hops or any(h.ifindex != adapter.ifindex for h in e.hops)
        )
        self.become(replace(self.machine, adapters=(*others, down), main=main))

    def _adapter(self, name: str) -> Adapter:
        adapter = self.machine.adapter(name)
        if adapter is None:
            raise LookupError(name)
        return adapter

    def _add_target(self, live: LiveRoute) -> None:
        if any(t.route.name == live.route.name for t in self.targets.values()):
            raise ProcrouteError("target-taken", f"the cgroup of {live.route.name} is taken")
        self.targets[live.number] = live

    def _target(self, number: int) -> LiveRoute:
        if number not in self.targets:
            raise ProcrouteError("cgroup-missing", f"there is no cgroup of route {number}")
        return self.targets[number]

    def _remove_target(self, live: LiveRoute) -> None:
        if live.number in self.populated:
            raise _refused(f"remove the cgroup of {live.route.name}: busy")
        self.targets.pop(live.number, None)
        self.doors.pop(live.number, None)
        if not self.targets:
            self.valid_mark.clear()

    def _set_valid_mark(self, name: str, on: bool) -> None:
        if not on:
            self.valid_mark.discard(name)
        elif self.machine.adapter(name) is None:
            raise _refused(f"set src_valid_mark of {name}: no such device")
        else:
            self.valid_mark.add(name)


def _refused(what: str) -> ProcrouteError:
    return ProcrouteError("kernel-refused", f"the kernel refused to {what}")
