"""A kernel in memory, behind the same interface as linux.py, that can be told to fail or to die at any step.

    fake = Fake(machine, Identity())
    fake.fault = crash_at(7)
    reconcile(fake, fake.identity, routes)      # Crash
    fake.fault = None
    reconcile(fake, fake.identity)              # what the next engine does

It answers as Linux does where our steps can tell (tried on 6.18): ip rules that differ only in where `goto`
leads or in `not` are the same rule; IPv6 entries that share a next hop are the same entry, whatever their
preferred source and metrics, and those with gateways grow into one; nothing is added by an adapter that is
down; what goes by an adapter goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum

from msgspec.structs import replace

from procroute.core import plan
from procroute.core.door import Door
from procroute.core.machine import Machine, Observed, Ours, Restore
from procroute.core.overlap import text
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.model import Adapter, Entry, Family, Hop, IPAddress, LiveRoute, Rule


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

    steps: what was done, for tests to look at. fault: called before and after each step; may raise Crash or
    ProcrouteError.
    """

    def __init__(self, machine: Machine, identity: Identity) -> None:
        self.identity = identity
        self.machine = machine
        self.rules: list[Rule] = []
        self.entries: list[Entry] = []
        self.targets: dict[int, LiveRoute] = {}
        self.populated: set[int] = set()
        self.doors: dict[int, Door] = {}
        self.restore: Restore | None = None
        self.valid_mark: set[str] = set()
        self.table_names: dict[int, str] = {}
        self.asked: list[tuple[int, IPAddress]] = []
        self.steps: list[plan.Step] = []
        self.fault: Fault | None = None

    def observe(self, machine: Machine | None = None) -> Observed:
        """What is there now; machine: what is known of it already, which may be old by now."""
        own = self.identity
        ours = Ours(
            rules=frozenset(
                r for r in self.rules if r.protocol == own.protocol and own.owns_preference(r.preference)
            ),
            entries=frozenset(
                e for e in self.entries if e.protocol == own.protocol and own.owns_table(e.table)
            ),
            targets=frozenset(self.targets.values()),
            doors=dict(self.doors),
            restore=self.restore,
            valid_mark=frozenset(self.valid_mark),
            table_names=dict(self.table_names),
        )
        return Observed(machine or self.machine, ours, frozenset(self.populated & self.targets.keys()))

    def entries_of(self, *numbers: int) -> Iterator[Entry]:
        """What stands in these tables, whoever put it there."""
        return (e for e in self.entries if e.table in numbers)

    def ask_again(self, adapter: Adapter, observed: Observed) -> None:
        """Note that the gateways of an adapter that do not answer were asked for."""
        self.asked += sorted(n for n in observed.machine.failed_gateways if n[0] == adapter.ifindex)

    def apply(self, step: plan.Step) -> None:
        """Do one step. Raises ProcrouteError where Linux would refuse it."""
        if self.fault:
            self.fault(step, When.BEFORE)
        self._do(step)
        self.steps.append(step)
        if self.fault:
            self.fault(step, When.AFTER)

    def _do(self, step: plan.Step) -> None:
        match step:
            case plan.AddEntry(entry):
                self._add_entry(entry)
            case plan.DeleteEntry(entry):
                self._delete_entry(entry)
            case plan.AddRule(rule):
                self._add_rule(rule)
            case plan.DeleteRule(rule):
                self._delete_rule(rule)
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
            case plan.SetRestore(restore):
                self.restore = restore
            case plan.SetValidMark(adapter, on):
                self._set_valid_mark(adapter, on)
            case plan.NameTables(names):
                self.table_names = dict(names)

    # The machine's own life.

    def become(self, machine: Machine) -> None:
        """The machine is like this now; what its adapters no longer carry goes from our tables too.

        fib_sync_down_dev, fib_sync_down_addr and fib_disable_ip in net/ipv4, rt6_remove_prefsrc in net/ipv6.
        """
        self.machine = machine
        self.valid_mark = {name for name in self.valid_mark if machine.adapter(name)}
        here = {a.ifindex: a for a in machine.adapters}
        addresses = {a.interface.ip for d in machine.adapters for a in d.addresses}
        kept = []
        for entry in self.entries:
            if entry.hops and not any(_carries(here.get(h.ifindex), entry.family) for h in entry.hops):
                continue
            if entry.source is not None and entry.source not in addresses:
                if entry.family is Family.IPV4:
                    continue
                kept.append(replace(entry, source=None))
                continue
            kept.append(entry)
        self.entries = kept

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

    def link_gone(self, name: str) -> None:
        """An adapter is removed from the machine."""
        self.link_down(name)
        self.become(replace(self.machine, adapters=tuple(a for a in self.machine.adapters if a.name != name)))

    def _adapter(self, name: str) -> Adapter:
        adapter = self.machine.adapter(name)
        if adapter is None:
            raise LookupError(name)
        return adapter

    # Tables.

    def _add_entry(self, entry: Entry) -> None:
        for hop in entry.hops:
            self._check_hop(hop, entry)
        if entry.source is not None and not any(
            entry.source == a.interface.ip for d in self.machine.adapters for a in d.addresses
        ):
            raise _refused(f"add the entry {entry.destination}: invalid preferred source {entry.source}")
        if entry.family is Family.IPV6:
            self._add_entry6(entry)
        elif entry not in self.entries:
            self.entries.append(entry)

    def _check_hop(self, hop: Hop, entry: Entry) -> None:
        adapter = next((a for a in self.machine.adapters if a.ifindex == hop.ifindex), None)
        if adapter is None:
            raise _refused(f"add the entry {entry.destination}: no such device")
        if not adapter.up:
            raise _refused(f"add the entry {entry.destination}: {adapter.name} is not up")
        if hop.gateway is None or hop.onlink or hop.gateway.is_link_local:
            return
        if not any(hop.gateway in a.interface.network for a in adapter.addresses):
            raise _refused(f"add the entry {entry.destination}: invalid gateway {hop.gateway}")

    def _add_entry6(self, entry: Entry) -> None:
        for i, there in enumerate(self.entries):
            if _place(there) != _place(entry):
                continue
            if _ways(there) & _ways(entry) or (not entry.hops and not there.hops):
                return
            if _grows(there) and _grows(entry):
                self.entries[i] = replace(there, hops=there.hops + entry.hops)
                return
        self.entries.append(entry)

    def _delete_entry(self, entry: Entry) -> None:
        if entry.family is Family.IPV4:
            self._delete_first(lambda there: _matches4(there, entry))
            return
        if not entry.hops:
            self._delete_first(lambda there: _place(there) == _place(entry))
        for hop in entry.hops:
            self._delete_hop(entry, hop)

    def _delete_hop(self, entry: Entry, hop: Hop) -> None:
        """net/ipv6/route.c, ip6_route_del: one hop when a gateway is named, else all that goes together."""
        for i, there in enumerate(self.entries):
            if _place(there) != _place(entry) or there.protocol != entry.protocol:
                continue
            left = tuple(
                h for h in there.hops if h.ifindex != hop.ifindex or hop.gateway not in (None, h.gateway)
            )
            if len(left) == len(there.hops):
                continue
            if hop.gateway is None or not left:
                del self.entries[i]
            else:
                self.entries[i] = replace(there, hops=left)
            return

    def _delete_first(self, matches: Callable[[Entry], bool]) -> None:
        found = min(filter(matches, self.entries), key=lambda e: e.metric, default=None)
        if found is not None:
            self.entries.remove(found)

    # Rules.

    def _add_rule(self, rule: Rule) -> None:
        """fib_rules.c, rule_exists and fib_nl_newrule: the new one stands after those of its preference."""
        _check_goto(rule)
        if any(_as_far_as(rule, there, marks=True) == plan.same_to_kernel(rule) for there in self.rules):
            return
        behind = sum(there.preference <= rule.preference for there in self.rules)
        self.rules = sorted(self.rules, key=lambda r: r.preference)
        self.rules.insert(behind, rule)

    def _delete_rule(self, rule: Rule) -> None:
        """rule_find: the first that matches goes."""
        _check_goto(rule)
        for i, there in enumerate(self.rules):
            if _as_far_as(rule, there, marks=False) == plan.same_to_kernel(rule):
                del self.rules[i]
                return

    # Targets and the rest.

    def _add_target(self, live: LiveRoute) -> None:
        if any(t.route.name == live.route.name for t in self.targets.values()):
            raise ProcrouteError("target-taken", f"the cgroup of {live.route.name} is taken")
        self.targets[live.number] = live

    def _target(self, number: int) -> LiveRoute:
        if number not in self.targets:
            raise ProcrouteError("target-gone", f"the cgroup of route {number} is gone")
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


def _check_goto(rule: Rule) -> None:
    if rule.action == "goto" and rule.target <= rule.preference:
        raise _refused(f"take the ip rule {text(rule)}: backward goto")


def _as_far_as(said: Rule, there: Rule, *, marks: bool) -> Rule:
    """A rule as far as Linux compares it: addresses that are not said are not, nor marks for deleting."""
    return replace(
        plan.same_to_kernel(there),
        source=there.source if said.source else None,
        destination=there.destination if said.destination else None,
        mark=there.mark if marks or said.mark else 0,
        mask=there.mask if marks or said.mask else 0,
    )


def _carries(adapter: Adapter | None, family: Family) -> bool:
    """Whether entries by an adapter stay. IPv4 is switched off with an adapter's last address."""
    if adapter is None or not adapter.up:
        return False
    return family is Family.IPV6 or any(a.interface.version == 4 for a in adapter.addresses)


def _place(entry: Entry) -> tuple[object, ...]:
    return entry.table, entry.destination, entry.metric


def _ways(entry: Entry) -> set[tuple[int, IPAddress | None]]:
    return {(h.ifindex, h.gateway) for h in entry.hops}


def _grows(entry: Entry) -> bool:
    """Whether IPv6 joins it with others to one multipath entry (rt6_qualify_for_ecmp)."""
    return bool(entry.hops) and all(h.gateway is not None for h in entry.hops)


def _matches4(there: Entry, wanted: Entry) -> bool:
    """net/ipv4/fib_trie.c, fib_table_delete: what is not said is not compared."""
    return (
        (there.table, there.destination, there.kind, there.scope, there.protocol)
        == (wanted.table, wanted.destination, wanted.kind, wanted.scope, wanted.protocol)
        and wanted.metric in (0, there.metric)
        and _hops_match4(there.hops, wanted.hops)
        and wanted.source in (None, there.source)
        and (not wanted.metrics or wanted.metrics == there.metrics)
    )


def _hops_match4(there: tuple[Hop, ...], wanted: tuple[Hop, ...]) -> bool:
    """fib_nh_match: one hop is compared with the first, of many those that are there."""
    if len(wanted) <= 1:
        pairs = list(zip(there[:1], wanted, strict=False))
    elif len(there) > len(wanted):
        return False
    else:
        pairs = list(zip(there, wanted, strict=False))
    return all(t.ifindex == w.ifindex and w.gateway in (None, t.gateway) for t, w in pairs)


def apply_all(kernel: Fake, steps: Iterable[plan.Step]) -> None:
    """Do steps in order."""
    for step in steps:
        kernel.apply(step)
