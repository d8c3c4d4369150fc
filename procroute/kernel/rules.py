"""Ip rules, through pyroute2's messages of rtnetlink(7).

They have no types, so everything goes through these typed functions, and the engine looks at the kernel again
after it applied a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_network
from socket import IPPROTO_UDP

from procroute.core.overlap import text
from procroute.kernel.entries import Command, done
from procroute.kernel.entry_messages import AF
from procroute.kernel.netlink import HEADER
from procroute.kernel.pyroute2_messages import (
    FR_ACT_NAMES,
    FR_ACT_VALUES,
    Message,
    fibmsg,
    packed,
    unpacked,
)
from procroute.kernel.refusal import refused
from procroute.kernel.rtnetlink import CREATE, EXCLUDE, Rtnetlink
from procroute.model import Family, IPNetwork, Rule

# linux/rtnetlink.h
_NEW, _DELETE, _GET = 32, 33, 34
_INVERT = 0x2  # linux/fib_rules.h
_NONE = 0xFFFF_FFFF
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
_OF_PORTS = ("FRA_IP_PROTO", "FRA_SPORT_RANGE")


def read(netlink: Rtnetlink, families: Iterable[Family]) -> Iterator[Rule]:
    """Every ip rule. Raises OSError."""
    for family in families:
        request = fibmsg()
        request["family"] = AF[family]
        for data in netlink.dump(_GET, packed(request)):
            yield _rule(data[HEADER.size :], family)


def told(message: bytes) -> Rule | None:
    """The ip rule in a notice of rtnetlink(7), header included; None for those of other families."""
    family = next((f for f in Family if AF[f] == message[HEADER.size]), None)
    return _rule(message[HEADER.size :], family) if family is not None else None


@lru_cache(2048)  # the same bytes say the same: most of what is there was there at the last look
def _rule(body: bytes, family: Family) -> Rule:
    message = unpacked(fibmsg, body)
    get = message.get_attr
    action = FR_ACT_VALUES[message["action"]].lower()
    action = "table" if action in ("to_tbl", "fr_act_to_tbl") else action.removeprefix("fr_act_")
    table = get("FRA_TABLE") or message["table"]
    mark, mask = get("FRA_FWMARK") or 0, get("FRA_FWMASK") or 0
    suppress = get("FRA_SUPPRESS_PREFIXLEN")
    port = _udp_port(get("FRA_IP_PROTO"), get("FRA_SPORT_RANGE"))
    selectors = [a for a in _SELECTORS if not (port and a in _OF_PORTS)]
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
        selective=bool(message["tos"] or get("FRA_L3MDEV") or any(get(a) is not None for a in selectors)),
        protocol=get("FRA_PROTOCOL") or 0,
        suppress=-1 if suppress in (None, _NONE) else suppress,
        udp_port=port,
    )


def _udp_port(protocol: int | None, ports: str | None) -> int:
    """The source port of a rule that is for UDP from one port; 0: it is not such a one."""
    first, _, last = (ports or "").partition(":")
    return int(first) if protocol == IPPROTO_UDP and first and first == last else 0


def _prefix(address: str | None, length: int) -> IPNetwork | None:
    return ip_network(f"{address}/{length}") if address and length else None


def change(netlink: Rtnetlink, command: Command, rules: Sequence[Rule]) -> None:
    """Add or delete ip rules, in order. What is there, or gone, already is no error.

    Raises ProcrouteError for the first that the kernel refused; some after it may have been made.
    """
    kind, flags = (_NEW, CREATE | EXCLUDE) if command == "add" else (_DELETE, 0)
    answers = netlink.change((kind, flags, _packed(rule)) for rule in rules)
    for rule, number in zip(rules, answers, strict=False):
        if not done(command, number):
            raise refused(number, "rule", f"{command} the ip rule {text(rule)}")


@lru_cache(4096)  # what others delete is put back again and again
def _packed(rule: Rule) -> bytes:
    return packed(_message(rule))


def _message(rule: Rule) -> Message:
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
    if rule.udp_port:
        attributes += [
            ("FRA_IP_PROTO", IPPROTO_UDP),
            ("FRA_SPORT_RANGE", f"{rule.udp_port}:{rule.udp_port}"),
        ]
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
