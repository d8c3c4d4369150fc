"""Does the same to the fake kernel and to Linux and stops where they differ; in a namespace of its own.

unshare --net python -m tests.unit.fake_beside_linux FIRST_SEED LAST_SEED
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from socket import if_nametoindex

from msgspec.structs import replace

from procroute.core.plan import AddEntry, AddRule, DeleteEntry, DeleteRule, Step
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import entries, rules
from procroute.kernel.fake import Fake
from procroute.kernel.rtnetlink import Rtnetlink
from procroute.model import Adapter, Entry, Family, Rule
from tests.plans import words

IDENTITY = Identity()
_STEPS = 50
_TABLE = 7301
_ADDRESSES = {
    "one": ("10.1.0.2/24", "fd01::2/64"),
    "two": ("10.2.0.2/24", "fd02::2/64"),
}
# IPv6 entries with and without gateways have other metrics here: Linux leaves one out of its list that stands
# between two which go together (fib6_dump_node).
_ENTRIES = (
    "0.0.0.0/0 via 10.1.0.1 dev one onlink",
    "0.0.0.0/0 via 10.1.0.1 dev one onlink src 10.1.0.2",
    "0.0.0.0/0 via 10.1.0.1 dev one onlink mtu 1400",
    "0.0.0.0/0 via 10.1.0.9 dev one onlink",
    "0.0.0.0/0 via 10.2.0.1 dev two onlink",
    "0.0.0.0/0 via 10.2.0.1 dev two onlink metric 5",
    "0.0.0.0/0 via 10.9.0.1 dev two",
    "0.0.0.0/0 via 10.1.0.1 dev one onlink src 10.77.0.1",
    "0.0.0.0/0 dev one",
    "unreachable 0.0.0.0/0",
    "throw 224.0.0.0/4",
    "unreachable 224.0.0.0/4",
    "10.50.0.0/16 nexthop via 10.1.0.1 dev one onlink nexthop via 10.2.0.1 dev two weight 2 onlink",
    "10.50.0.0/16 via 10.1.0.1 dev one",
    "::/0 via fd01::1 dev one onlink",
    "::/0 via fd01::1 dev one onlink src fd77::1",
    "::/0 via fd01::1 dev one onlink src fd01::2",
    "::/0 via fd01::1 dev one onlink mtu 1400",
    "::/0 via fd01::9 dev one onlink",
    "::/0 via fd02::1 dev two onlink",
    "::/0 via fd02::1 dev two onlink metric 5",
    "::/0 via fd02::1 dev two onlink metric 5 src fd02::2",
    "::/0 via fd02::1 dev two onlink metric 5 mtu 1400",
    "::/0 dev one metric 7",
    "::/0 dev two metric 7",
    "unreachable ::/0 metric 9",
    "blackhole ::/0 metric 9",
    "fd50::/16 nexthop via fd01::1 dev one onlink nexthop via fd02::1 dev two onlink",
    "fd50::/16 via fd01::1 dev one onlink",
    "fd50::/16 via fd02::1 dev two",
)
_RULES = (
    "4400: from all fwmark 0x0/0xff000000 goto 4405",
    "4400: from all fwmark 0x0/0xff000000 goto 4406",
    "4400: not from all fwmark 0x0/0xff000000 goto 4405",
    "4400: from all fwmark 0x0/0xff000000 goto 4400",
    "4402: from 10.1.0.2/32 fwmark 0x1000000/0x1000000 lookup 7301",
    "4402: from 10.2.0.2/32 fwmark 0x1000000/0x1000000 lookup 7302",
    "4402: from fd01::2/128 fwmark 0x1000000/0x1000000 lookup 7301",
    "4402: from all fwmark 0x1000000/0x1000000 lookup 7301",
    "4405: from all fwmark 0x2000000/0xfe000000 lookup 7301",
    "4405: from all fwmark 0x2000000/0xfe000000 lookup 7302",
    "4405: from all fwmark 0x4000000/0xfe000000 lookup 7301",
    "4405: from all to 224.0.0.0/4 lookup 254",
    "4405: from all lookup 254",
    "4406: not from all fwmark 0x0/0xff000000 unreachable",
    "4406: from all ipproto udp sport 51820 unreachable",
    "4406: from all ipproto udp sport 51821 unreachable",
    "4405: from all ipproto udp sport 51820 lookup 7301",
    "4400: from all ipproto udp sport 51820 goto 4405",
    "4405: not from all fwmark 0x2000000/0xfe000000 lookup 7302",
)


def main(first: int, last: int) -> None:
    """Try every seed; SystemExit with what was done and what differs."""
    for name in ("one", "two"):
        _ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-far")
    with contextlib.closing(Rtnetlink()) as linux:
        for seed in range(first, last):
            _try(linux, random.Random(seed), f"seed {seed}")


def _try(linux: Rtnetlink, chance: random.Random, title: str) -> None:
    adapters = _fresh()
    kernel = Fake(words.machine(*adapters), IDENTITY)
    names = {a.name: a.ifindex for a in adapters}
    own = IDENTITY.protocol
    some_entries = [replace(words.entry(line, names, _TABLE), protocol=own) for line in _ENTRIES]
    some_rules = [replace(r, protocol=own) for line in _RULES for r in words.rule(line)]
    done = [title]
    for _ in range(_STEPS):
        what = chance.choice(some_entries) if chance.random() < 0.6 else chance.choice(some_rules)
        command: entries.Command = "add" if chance.random() < 0.6 else "del"
        if chance.random() < 0.01:
            done.append("one goes down")
            _ip("link", "set", "one", "down")
            kernel.link_down("one")
        done.append(f"{command} {what}")
        answers = _linux_takes(linux, command, what), _fake_takes(kernel, command, what)
        there = Counter([*_linux_entries(linux), *_linux_rules(linux)])
        fakes = Counter([*kernel.entries, *kernel.rules])
        if answers[0] != answers[1] or there != fakes:
            told = [f"only in Linux: {x}" for x in there - fakes] + [
                f"only in the fake: {x}" for x in fakes - there
            ]
            raise SystemExit("\n".join([*done, f"taken by Linux, by the fake: {answers}", *told]))


def _fresh() -> list[Adapter]:
    """Both adapters as at the start; everything else gone."""
    for family in ("-4", "-6"):
        _ip(family, "rule", "flush", "protocol", str(IDENTITY.protocol))
        for table in (_TABLE, 7302):
            subprocess.run(
                ["ip", family, "route", "flush", "table", str(table)], capture_output=True, check=False
            )
    found = []
    for name, addresses in _ADDRESSES.items():
        for end in (name, f"{name}-far"):
            _ip("link", "set", end, "up")
        for address in addresses:
            _ip("address", "replace", address, "dev", name, *(["nodad"] if ":" in address else []))
        found.append(words.adapter(name, if_nametoindex(name), *addresses))
    return found


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _linux_takes(linux: Rtnetlink, command: entries.Command, what: Entry | Rule) -> bool:
    try:
        if isinstance(what, Entry):
            entries.change(linux, command, [what])
        else:
            rules.change(linux, command, [what])
    except ProcrouteError:
        return False
    return True


def _fake_takes(kernel: Fake, command: entries.Command, what: Entry | Rule) -> bool:
    adds = command == "add"
    step: Step
    if isinstance(what, Entry):
        step = AddEntry(what) if adds else DeleteEntry(what)
    else:
        step = AddRule(what) if adds else DeleteRule(what)
    try:
        kernel.apply([step])
    except ProcrouteError:
        return False
    return True


def _linux_entries(linux: Rtnetlink) -> Iterator[Entry]:
    for family in Family:
        yield from (e for e in entries.read(linux, family, protocol=112) if e.table == _TABLE)


def _linux_rules(linux: Rtnetlink) -> Iterator[Rule]:
    return (r for r in rules.read(linux, Family) if r.protocol == IDENTITY.protocol)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
