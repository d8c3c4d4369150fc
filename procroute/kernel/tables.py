"""Entries of routing tables and ip rules, through pyroute2.

Unknown keyword arguments are silently ignored there, so everything goes through these typed functions, and
the engine looks at the kernel again after it applied a plan.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from socket import AF_INET, AF_INET6
from typing import Any

from procroute.core.overlap import text
from procroute.kernel.refusal import refused
from procroute.kernel.rtnetlink import FR_ACT_NAMES, FR_ACT_VALUES, IPRoute, NetlinkError, rt_type, rtmsg
from procroute.model import Entry, Family, Hop, IPNetwork, Rule

AF = {Family.IPV4: AF_INET, Family.IPV6: AF_INET6}
_FAMILY = {af: family for family, af in AF.items()}
_TYPES = {number: name for name, number in rt_type.items() if isinstance(number, int)}
_ONLINK, _CLONED = 0x4, 0x200  # linux/rtnetlink.h
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


def read_entries(ipr: IPRoute, family: Family, **match: int) -> Iterator[Entry]:
    """Entries of one family, filtered by the kernel: table=254 or proto=112 (strict checking must be on)."""
    for message in ipr.get_routes(family=AF[family], **match):
        entry = _entry(message)
        if entry is not None:
            yield entry


def _entry(message: Any) -> Entry | None:
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


def _hops(message: Any) -> Iterator[Hop]:
    for hop in message.get_attr("RTA_MULTIPATH") or ():
        yield Hop(hop["oif"], _gateway(hop), bool(hop["flags"] & _ONLINK), hop["hops"] + 1)
    if message.get_attr("RTA_OIF"):
        yield Hop(message.get_attr("RTA_OIF"), _gateway(message), bool(message["flags"] & _ONLINK))


def _gateway(message: Any) -> Any:
    via = message.get_attr("RTA_VIA")
    gateway = via["addr"] if via else message.get_attr("RTA_GATEWAY")
    return ip_address(gateway) if gateway else None


def _metrics(metrics: Any) -> Iterator[tuple[str, int]]:
    for name, value in metrics["attrs"] if metrics else ():
        if isinstance(value, int):
            yield rtmsg.metrics.nla2name(name), value


def change_entry(ipr: IPRoute, command: str, entry: Entry) -> None:
    """Add or delete (command: add, del) an entry. What is there, or gone, already is no error."""
    words: dict[str, Any] = {
        "family": AF[entry.family],
        "dst": str(entry.destination),
        "table": entry.table,
        "type": entry.kind,
        "scope": entry.scope,
        "proto": entry.protocol,
    }
    if entry.metric:
        words["priority"] = entry.metric
    if entry.source:
        words["prefsrc"] = str(entry.source)
    if entry.metrics:
        words["metrics"] = dict(entry.metrics)
    if len(entry.hops) == 1:
        words |= _hop(entry.hops[0], entry.family)
    elif entry.hops:
        words["multipath"] = [_hop(h, entry.family) | {"hops": h.weight - 1} for h in entry.hops]
    try:
        # append: two entries for one destination by different adapters may stand side by side.
        ipr.route("append" if command == "add" else "del", **words)
    except NetlinkError as e:
        if e.code in _ABSENT if command == "del" else e.code == errno.EEXIST:
            return
        raise refused(
            e.code, "entry", f"{command} the entry {entry.destination} in table {entry.table}"
        ) from e


def _hop(hop: Hop, family: Family) -> dict[str, Any]:
    words: dict[str, Any] = {"oif": hop.ifindex}
    if hop.onlink:
        words["flags"] = ["onlink"]
    if hop.gateway is None:
        return words
    if hop.gateway.version == family.value:
        words["gateway"] = str(hop.gateway)
    else:
        words["via"] = {"family": AF[Family.of(hop.gateway)], "addr": str(hop.gateway)}
    return words


def read_rules(ipr: IPRoute, families: Iterable[Family]) -> Iterator[Rule]:
    """Every ip rule."""
    for family in families:
        for message in ipr.get_rules(family=AF[family]):
            yield _rule(message, family)


def _rule(message: Any, family: Family) -> Rule:
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


def change_rule(ipr: IPRoute, command: str, rule: Rule) -> None:
    """Add or delete (command: add, del) an ip rule. What is there, or gone, already is no error."""
    words: dict[str, Any] = {
        "family": AF[rule.family],
        "priority": rule.preference,
        "protocol": rule.protocol,
        "action": FR_ACT_NAMES[
            "FR_ACT_TO_TBL" if rule.action == "table" else f"FR_ACT_{rule.action.upper()}"
        ],
        "flags": _INVERT if rule.inverted else 0,
    }
    if rule.mask:
        words |= {"fwmark": rule.mark, "fwmask": rule.mask}
    if rule.action == "table":
        words["table"] = rule.target
    if rule.action == "goto":
        words["goto"] = rule.target
    if rule.source is not None:
        words |= {"src": str(rule.source.network_address), "src_len": rule.source.prefixlen}
    if rule.destination is not None:
        words |= {"dst": str(rule.destination.network_address), "dst_len": rule.destination.prefixlen}
    try:
        ipr.rule(command, **words)
    except NetlinkError as e:
        if e.code in _ABSENT if command == "del" else e.code == errno.EEXIST:
            return
        raise refused(e.code, "rule", f"{command} the ip rule {text(rule)}") from e
