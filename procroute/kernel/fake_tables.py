"""Routing tables in memory, which take, refuse and keep entries as Linux does (net/ipv4, net/ipv6).

Tried beside Linux 6.18 by tests/unit/test_fake_is_like_linux.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec.structs import replace

from procroute.core.machine import Machine
from procroute.errors import ProcrouteError
from procroute.model import Adapter, Entry, Family, Hop


class FakeTables:
    """The entries of every table but main, which is the machine's."""

    def __init__(self) -> None:
        # As the kernel has them: in IPv6 each next hop is an entry of its own.
        self._there: list[Entry] = []

    @property
    def entries(self) -> list[Entry]:
        """As Linux lists them: IPv6 entries with gateways for one destination are one."""
        listed: dict[object, Entry] = {}
        for i, entry in enumerate(self._there):
            place: object = _together(entry) if _grows(entry) else i
            first = listed.get(place)
            listed[place] = entry if first is None else replace(first, hops=first.hops + entry.hops)
        return list(listed.values())

    @entries.setter
    def entries(self, entries: Iterable[Entry]) -> None:
        self._there = [one for entry in entries for one in _single(entry)]

    def add(self, entry: Entry, machine: Machine) -> None:
        """Append an entry; what is there already is no error. Raises ProcrouteError kernel-refused."""
        for hop in entry.hops:
            _check_hop(hop, entry, machine)
        if entry.source is not None and entry.source not in _addresses(machine):
            raise _refused(entry, f"invalid preferred source {entry.source}")
        new = list(_single(entry))
        if not any(_same(there, one) for there in self._there for one in new):
            self._there += new

    def delete(self, entry: Entry) -> None:
        """Delete an entry; what is gone already is no error."""
        if entry.family is Family.IPV4:
            self._delete_first(lambda there: _matches4(there, entry))
            return
        for one in _single(entry):
            first = self._delete_first(lambda there, one=one: _matches6(there, one))  # type: ignore[misc]
            # ip6_route_del: where no gateway is named all that goes together goes.
            if first is not None and _grows(first) and not _grows(one):
                self._there = [e for e in self._there if _together(e) != _together(first) or not _grows(e)]

    def _delete_first(self, matches: Callable[[Entry], bool]) -> Entry | None:
        found = min(filter(matches, self._there), key=lambda e: e.metric, default=None)
        if found is not None:
            self._there.remove(found)
        return found

    def follow(self, machine: Machine) -> None:
        """What the machine's adapters no longer carry goes.

        fib_sync_down_dev, fib_sync_down_addr and fib_disable_ip in net/ipv4, rt6_remove_prefsrc in net/ipv6.
        """
        adapters = {a.ifindex: a for a in machine.adapters}
        carried = {_together(e) for e in self._there if _grows(e) and _is_carried(e, adapters)}
        addresses = _addresses(machine)
        kept = []
        for entry in self._there:
            if not (_is_carried(entry, adapters) or (_grows(entry) and _together(entry) in carried)):
                continue
            if entry.source is None or entry.source in addresses:
                kept.append(entry)
            elif entry.family is Family.IPV6:
                kept.append(replace(entry, source=None))
        self._there = kept


def _single(entry: Entry) -> Iterator[Entry]:
    """An entry as the kernel keeps it."""
    if entry.family is Family.IPV4 or len(entry.hops) < 2:
        yield entry
    else:
        yield from (replace(entry, hops=(hop,)) for hop in entry.hops)


def _grows(entry: Entry) -> bool:
    """Whether it goes together with others for its destination (rt6_qualify_for_ecmp)."""
    return entry.family is Family.IPV6 and any(h.gateway is not None for h in entry.hops)


def _together(entry: Entry) -> tuple[object, ...]:
    return entry.table, entry.destination, entry.metric


def _ways(entry: Entry) -> list[tuple[object, ...]]:
    return [(h.ifindex, h.gateway) for h in entry.hops]


def _same(there: Entry, new: Entry) -> bool:
    """Whether adding says that it is there: IPv6 compares next hops only (fib6_add_rt2node)."""
    if new.family is Family.IPV4:
        return there == new
    return _together(there) == _together(new) and _ways(there) == _ways(new)


def _matches4(there: Entry, said: Entry) -> bool:
    """fib_table_delete: what is not said is not compared."""
    return (
        (there.table, there.destination, there.kind, there.scope, there.protocol)
        == (said.table, said.destination, said.kind, said.scope, said.protocol)
        and said.metric in (0, there.metric)
        and _hops_match4(there.hops, said.hops)
        and said.source in (None, there.source)
        and (not said.metrics or said.metrics == there.metrics)
    )


def _hops_match4(there: tuple[Hop, ...], said: tuple[Hop, ...]) -> bool:
    """fib_nh_match: one hop is compared with the first, of many those that are there."""
    if len(there) > len(said) > 1:
        return False
    return all(_is_by(t, s) for t, s in zip(there, said, strict=False))


def _matches6(there: Entry, said: Entry) -> bool:
    """ip6_route_del: neither the kind is compared nor a next hop that is not said."""
    if _together(there) != _together(said) or there.protocol != said.protocol:
        return False
    return not said.hops or (bool(there.hops) and _is_by(there.hops[0], said.hops[0]))


def _is_by(there: Hop, said: Hop) -> bool:
    return there.ifindex == said.ifindex and said.gateway in (None, there.gateway)


def _check_hop(hop: Hop, entry: Entry, machine: Machine) -> None:
    adapter = next((a for a in machine.adapters if a.ifindex == hop.ifindex), None)
    if adapter is None:
        raise _refused(entry, "no such device")
    if not adapter.up:
        raise _refused(entry, f"{adapter.name} is not up")
    if hop.gateway is None or hop.onlink or hop.gateway.is_link_local:
        return
    if not any(hop.gateway in a.interface.network for a in adapter.addresses):
        raise _refused(entry, f"invalid gateway {hop.gateway}")


def _is_carried(entry: Entry, adapters: Mapping[int, Adapter]) -> bool:
    """Whether an adapter of it is up. IPv4 is switched off with an adapter's last address."""
    if not entry.hops:
        return True
    up = [a for h in entry.hops if (a := adapters.get(h.ifindex)) is not None and a.up]
    if entry.family is Family.IPV6:
        return bool(up)
    return any(a.interface.version == 4 for adapter in up for a in adapter.addresses)


def _addresses(machine: Machine) -> set[object]:
    return {a.interface.ip for adapter in machine.adapters for a in adapter.addresses}


def _refused(entry: Entry, why: str) -> ProcrouteError:
    return ProcrouteError("kernel-refused", f"the kernel refused to add the entry {entry.destination}: {why}")
