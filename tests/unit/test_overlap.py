"""Other people's rules and tables that would misroute: refused by name, everything else left alone."""

from __future__ import annotations

import pytest

from procroute.core import overlap
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.model import Family
from tests.plans import words

DEFAULTS = Identity()
LINUX = ["0: from all lookup 255", "32766: from all lookup 254", "32767: from all lookup 253"]
TAILSCALE = [
    "5210: from all fwmark 0x80000/0xff0000 lookup 254",
    "5230: from all fwmark 0x80000/0xff0000 lookup 253",
    "5250: from all fwmark 0x80000/0xff0000 unreachable",
    "5270: from all lookup 52",
]
WG_QUICK = ["32764: from all lookup 254", "32765: not from all fwmark 0xca6c lookup 51820"]
MWAN3 = [
    "1001: from all iif wan1 lookup 1",
    "2001: from all fwmark 0x100/0x3f00 lookup 1",
    "2061: from all fwmark 0x3d00/0x3f00 unreachable",
]
PBR = ["30000: from all fwmark 0x10000/0xff0000 lookup 256", "29999: from all lookup 254"]
NETBIRD = ["110: not from all fwmark 0x1bd00 lookup 7120"]
VRF = ["1000: from all l3mdev unreachable"]


def check(*rules: str, identity: Identity = DEFAULTS) -> None:
    """Look at a machine with these rules."""
    overlap.check(identity, words.machine(rules=rules))


@pytest.mark.promise("ID-02", "LAN-04", "LAN-05")
@pytest.mark.parametrize(
    "rules",
    [
        TAILSCALE,
        WG_QUICK,
        MWAN3,
        PBR,
        NETBIRD,
        VRF,
        ["100: from 10.0.0.0/8 lookup 100"],
        ["10000: from 198.51.100.9 lookup 1836018789"],
        ["100: from all uidrange 0-1 lookup 100"],
    ],
    ids=[
        "Tailscale",
        "wg-quick",
        "mwan3",
        "pbr",
        "NetBird",
        "VRF",
        "by source",
        "Mullvad's table",
        "by user",
    ],
)
def test_common_rules_are_no_overlap(rules: list[str]) -> None:
    check(*LINUX, *rules)


@pytest.mark.promise("ID-02")
@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("32765: from all lookup 255", "the rule of table local stands at 32765, behind ours"),
        ("4500: from all lookup 100", "stands among ours: 4500: from all lookup 100"),
        ("4400: from 10.0.0.0/8 goto 9999", "stands among ours"),
        ("4699: from all nop", "stands among ours"),
        ("9000: from all fwmark 0x1000000/0x1000000 lookup 100", "uses bits of our mark"),
        ("9000: from all fwmark 0xff000000/0xffff0000 lookup 100", "uses bits of our mark"),
        ("9000: not from all fwmark 0x2000000/0xff000000 lookup 100", "uses bits of our mark"),
        ("9000: from all fwmark 0x2000001 lookup 100", "uses a mark with our bits"),
        ("5199: not from all fwmark 0x6d6f6c65 lookup 1836018789", "uses a mark with our bits"),
        ("0: from all lookup 100", "stands before all that can be put before it: 0: from all lookup 100"),
        ("0: from all uidrange 0-1 lookup 100", "stands before all that can be put before it"),
        ("0: from all unreachable", "stands before all that can be put before it"),
        ("9000: from 10.0.0.0/8 lookup 7301", "leads to a table of ours: 9000"),
        ("9000: from 10.0.0.0/8 lookup 700002", "leads to a table of ours"),
    ],
)
def test_what_would_misroute_is_refused_by_name(rule: str, why: str) -> None:
    with pytest.raises(ProcrouteError) as caught:
        check(*LINUX, rule)
    assert caught.value.code == "overlap"
    assert why in caught.value.message
    assert caught.value.hint


@pytest.mark.promise("ID-02")
@pytest.mark.parametrize(
    "rule",
    [
        "1: from all lookup 100",
        "100: from all goto 5000",
        "100: not from all fwmark 0xca6c lookup 51820",
        "100: from all unreachable",
        "100: from all fwmark 0x80000/0xff0000 goto 5000",
        "4399: from 10.0.0.0/8 lookup 100",
        "4700: from all lookup 100",
        "1: from all lookup 255",
    ],
)
def test_what_would_not_is_not(rule: str) -> None:
    check(*LINUX, rule)


@pytest.mark.promise("ID-01", "ID-02")
def test_other_numbers_of_ours_make_room() -> None:
    calico = "9000: from all fwmark 0xff000000/0xffff0000 lookup 100"
    check(*LINUX, calico, "4500: from all lookup 100", identity=Identity(mark_mask=0x3F00, preference=100))
    mullvad = "5199: not from all fwmark 0x6d6f6c65 lookup 1836018789"
    check(*LINUX, mullvad, identity=Identity(mark_mask=0x300))


@pytest.mark.promise("ID-02")
@pytest.mark.parametrize(
    "line", ["192.0.2.0/24 dev wan1 table 7300 proto 4", "::/0 dev wan1 table 7301 proto 3"]
)
def test_somebody_elses_entry_in_a_table_of_ours_is_named(line: str) -> None:
    entry = words.entry(line, {"wan1": 2})
    with pytest.raises(
        ProcrouteError, match=f"for {entry.destination} is in table {entry.table}, which is ours"
    ):
        overlap.check_entries(Identity(), [entry])
    overlap.check_entries(Identity(protocol=entry.protocol), [entry])


@pytest.mark.promise("ID-02", "ERR-08")
def test_routes_under_other_numbers_are_refused_with_what_differs() -> None:
    now = Identity(preference=4000, mark_mask=0x3F00)
    with pytest.raises(ProcrouteError, match=r"mark_mask 0xff000000, not 0x3f00, preference 4400, not 4000$"):
        overlap.check_identities(now, [now, Identity()])
    overlap.check_identities(now, [now])
    overlap.check_identities(now, [])


@pytest.mark.parametrize(
    "line",
    [
        "32765: not from all fwmark 0xca6c lookup 51820",
        "100: from 10.0.0.0/8 to 192.0.2.0/24 fwmark 0x1/0xff lookup 100",
        "100: from all goto 200",
        "100: from all unreachable",
    ],
)
def test_rules_are_told_as_ip_prints_them(line: str) -> None:
    (rule,) = words.rule(line, Family.IPV4)
    assert overlap.text(rule) == f"{line} (IPv4)"
