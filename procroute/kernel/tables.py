"""Entries of routing tables and ip rules, to and from the messages of rtnetlink(7).

pyroute2's messages have no types, so everything goes through these typed functions, and the engine looks at
the kernel again after it applied a plan.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from socket import AF_INET, AF_INET6
from typing import Any, Literal

from procroute.core.overlap import text
from procroute.kernel.pyroute2_messages import FR_ACT_NAMES, FR_ACT_VALUES, fibmsg, rt_type, rtmsg
from procroute.kernel.refusal import refused
from procroute.kernel.rtnetlink import APPEND, CREATE, EXCLUDE, Message, Rtnetlink
from procroute.model import Entry, Family, Hop, IPNetwork, Rule

Command = Literal["add", "del"]

AF = {Family.IPV4: AF_INET, Family.IPV6: AF_INET6}
_FAMILY = {af: family for family, af in AF.items()}
_TYPES = {number: name for name, number in rt_type.items() if isinstance(number, int)}
# linux/rtnetlink.h
_NEW_ENTRY, _DELETE_ENTRY, _GET_ENTRY, _NEW_RULE, _DELETE_RULE, _GET_RULE = 24, 25, 26, 32, 33, 34
_ONLINK, _CLONED = 0x4, 0x200
_INVERT = 0x2  # linux/fib_rules.h
_SELECTORS = (
    "FRA_IIFNAME",
    "FRA_OIFNAME",
    "FRA_UID_RANGE",
    "FRA_IP_PROTO",
    "FRA_SPORT_RANGE",
    "FRA_DPORT_RANGE",
    "FRA_TUN_ID",
    "FRA_FLOW",
)
_ABSENT = {errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL}


def read_entries(netlink: Rtnetlink, family: Family, *, table: int = 0, protocol: int = 0) -> Iterator[Entry]:
    """Entries of one family, filtered by the kernel: those of a table, or with a protocol. Raises OSError."""
    request = rtmsg()
    request["family"] = AF[family]
    request["proto"] = protocol
    request["attrs"] = [("RTA_TABLE", table)] if table else []
    try:
        answers = netlink.dump(_GET_ENTRY, request)
    except FileNotFoundError:  # nothing was ever put into this table
        return
    yield from (entry for entry in map(_entry, answers) if entry is not None)


def _entry(message: Message) -> Entry | None:
    if message["flags"] & _CLONED or message["tos"] or message["src_len"]:
        return None
    family = _FAMILY[message["family"]]
    everything = family.everything
    address = message.get_attr("RTA_DST")
    destination = ip_network(f"{address}/{message['dst_len']}") if address else everything
    kind = _TYPES.get(message["type"], "other")
    source = message.get_attr("RTA_PREFSRC")
    return Entry(
        table=message.get_attr("RTA_TABLE") or message["table"],
        destination=destination,
        hops=tuple(_hops(message)) if kind == "unicast" else (),
        kind=kind,
        scope=message["scope"],
        source=ip_address(source) if source else None,
        metric=message.get_attr("RTA_PRIORITY") or 0,
        metrics=tuple(_metrics(message.get_attr("RTA_METRICS"))),
        protocol=message["proto"],
    )


def _hops(message: Message) -> Iterator[Hop]:
    for hop in message.get_attr("RTA_MULTIPATH") or ():
        yield Hop(hop["oif"], _gateway(hop), bool(hop["flags"] & _ONLINK), hop["hops"] + 1)
    if message.get_attr("RTA_OIF"):
        yield Hop(message.get_attr("RTA_OIF"), _gateway(message), bool(message["flags"] & _ONLINK))


def _gateway(message: Message) -> Any:
    via = message.get_attr("RTA_VIA")
    gateway = via["addr"] if via else message.get_attr("RTA_GATEWAY")
    return ip_address(gateway) if gateway else None


def _metrics(metrics: Any) -> Iterator[tuple[str, int]]:
    for name, value in metrics["attrs"] if metrics else ():
        if isinstance(value, int):
            yield rtmsg.metrics.nla2name(name), value


def change_entries(netlink: Rtnetlink, command: Command, entries: Sequence[Entry]) -> None:
    """Add or delete entries, in order. What is there, or gone, already is no error.

    Raises ProcrouteError for the first that the kernel refused; some after it may have been made.
    """
    # Appended: two entries for one destination by different adapters may stand side by side.
    kind, flags = (_NEW_ENTRY, CREATE | APPEND) if command == "add" else (_DELETE_ENTRY, 0)
    answers = netlink.change((kind, flags, _entry_message(entry)) for entry in entries)
    for entry, number in zip(entries, answers, strict=False):
        if not _done(command, number):
            what = f"{command} the entry {entry.destination} in table {entry.table}"
            raise refused(number, "entry", what)


def _done(command: Command, number: int) -> bool:
    return number == 0 or (number in _ABSENT if command == "del" else number == errno.EEXIST)


def _entry_message(entry: Entry) -> Message:
    message = rtmsg()
    message["family"] = AF[entry.family]
    message["dst_len"] = entry.destination.prefixlen
    message["type"] = rt_type[entry.kind]
    message["scope"] = entry.scope
    message["proto"] = entry.protocol
    attributes: list[tuple[str, object]] = [("RTA_TABLE", entry.table)]
    if entry.destination.prefixlen:
        attributes.append(("RTA_DST", str(entry.destination.network_address)))
    if entry.metric:
        attributes.append(("RTA_PRIORITY", entry.metric))
    if entry.source:
        attributes.append(("RTA_PREFSRC", str(entry.source)))
    if entry.metrics:
        attributes.append(
            ("RTA_METRICS", {"attrs": [(rtmsg.metrics.name2nla(n), v) for n, v in entry.metrics]})
        )
    if len(entry.hops) == 1:
        [hop] = entry.hops
        message["flags"] = _ONLINK if hop.onlink else 0
        attributes += [("RTA_OIF", hop.ifindex), *_gateway_attribute(hop, entry.family)]
    elif entry.hops:
        attributes.append(("RTA_MULTIPATH", [_one_of_many(hop, entry.family) for hop in entry.hops]))
    message["attrs"] = attributes
    return message


def _one_of_many(hop: Hop, family: Family) -> dict[str, object]:
    return {
        "oif": hop.ifindex,
        "hops": hop.weight - 1,
        "flags": _ONLINK if hop.onlink else 0,
        "attrs": list(_gateway_attribute(hop, family)),
    }


def _gateway_attribute(hop: Hop, family: Family) -> Iterator[tuple[str, object]]:
    if hop.gateway is None:
        return
    if hop.gateway.version == family.value:
        yield "RTA_GATEWAY", str(hop.gateway)
    else:
        yield "RTA_VIA", {"family": AF[Family.of(hop.gateway)], "addr": str(hop.gateway)}


def read_rules(netlink: Rtnetlink, families: Iterable[Family]) -> Iterator[Rule]:
    """Every ip rule. Raises OSError."""
    for family in families:
        request = fibmsg()
        request["family"] = AF[family]
        for message in netlink.dump(_GET_RULE, request):
            yield _rule(message, family)


def _rule(message: Message, family: Family) -> Rule:
    get = message.get_attr
    action = FR_ACT_VALUES[message["action"]].lower()
    action = "table" if action in ("to_tbl", "fr_act_to_tbl") else action.removeprefix("fr_act_")
    table = get("FRA_TABLE") or message["table"]
    mark, mask = get("FRA_FWMARK") or 0, get("FRA_FWMASK") or 0
    return Rule(
        family=family,
        preference=get("FRA_PRIORITY") or 0,
        action=action,
        target=get("FRA_GOTO") if action == "goto" else table if action == "table" else 0,
        mark=mark,
        mask=mask,
        inverted=bool(message["flags"] & _INVERT),
        source=_prefix(get("FRA_SRC"), message["src_len"]),
        destination=_prefix(get("FRA_DST"), message["dst_len"]),
        selective=bool(message["tos"] or get("FRA_L3MDEV") or any(get(a) is not None for a in _SELECTORS)),
        protocol=get("FRA_PROTOCOL") or 0,
    )


def _prefix(address: str | None, length: int) -> IPNetwork | None:
    return ip_network(f"{address}/{length}") if address and length else None


def change_rules(netlink: Rtnetlink, command: Command, rules: Sequence[Rule]) -> None:
    """Add or delete ip rules, in order. What is there, or gone, already is no error.

    Raises ProcrouteError for the first that the kernel refused; some after it may have been made.
    """
    kind, flags = (_NEW_RULE, CREATE | EXCLUDE) if command == "add" else (_DELETE_RULE, 0)
    answers = netlink.change((kind, flags, _rule_message(rule)) for rule in rules)
    for rule, number in zip(rules, answers, strict=False):
        if not _done(command, number):
            raise refused(number, "rule", f"{command} the ip rule {text(rule)}")


def _rule_message(rule: Rule) -> Message:
    message = fibmsg()
    message["family"] = AF[rule.family]
    message["action"] = FR_ACT_NAMES[
        "FR_ACT_TO_TBL" if rule.action == "table" else f"FR_ACT_{rule.action.upper()}"
    ]
    message["flags"] = _INVERT if rule.inverted else 0
    attributes: list[tuple[str, object]] = [
        ("FRA_PRIORITY", rule.preference),
        ("FRA_PROTOCOL", rule.protocol),
    ]
    if rule.mask:
        attributes += [("FRA_FWMARK", rule.mark), ("FRA_FWMASK", rule.mask)]
    if rule.action == "table":
        attributes.append(("FRA_TABLE", rule.target))
    if rule.action == "goto":
        attributes.append(("FRA_GOTO", rule.target))
    for prefix, length, attribute in (
        (rule.source, "src_len", "FRA_SRC"),
        (rule.destination, "dst_len", "FRA_DST"),
    ):
        if prefix is not None:
            message[length] = prefix.prefixlen
            attributes.append((attribute, str(prefix.network_address)))
    message["attrs"] = attributes
    return message
