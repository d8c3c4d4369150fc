"""What `procroute status` makes of what was read."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.text import Text

from procroute.cli import adapter_table, status_table
from procroute.core.limits import limits
from procroute.core.machine import Machine
from procroute.core.overview import Way, adapters
from procroute.core.status import Assignment, Counted, Process, RouteView, Status, status
from procroute.core.traffic import Flow, Traffic
from procroute.identity import Identity
from procroute.model import Family, LiveRoute, Route
from procroute.protocol import RuleFacts, RuleList
from tests.plans import words

promise = pytest.mark.promise
LIVE = LiveRoute(Route("wan1"), 1)


def machine(**settings: Any) -> Machine:
    """wan1 with both families."""
    wan1 = words.adapter("wan1", 3, "198.51.100.2/24", "2001:db8:1::2/64")
    main = ["0.0.0.0/0 via 198.51.100.1 dev wan1", "::/0 via fe80::1 dev wan1"]
    return words.machine(wan1, main=main, **settings)


def view(*counted: Counted) -> Status:
    """The status of a machine with these."""
    return status(Identity(), machine(), counted, limits(machine(), netns_cookie=True))


def only(found: Status) -> RouteView:
    """Its one route."""
    (route,) = found.routes
    return route


@promise("LOOK-02")
def test_cgroups_of_one_route_are_told_together() -> None:
    one = Counted(
        LIVE, assignments=(Assignment("a", "/a"),), traffic=Traffic(Flow(1, 10), Flow(2, 20)), drops={3: 1}
    )
    two = Counted(LIVE, False, (Assignment("b", "/b"),), Traffic(Flow(5, 50), Flow(6, 60)), {3: 1, 99: 4})
    route = only(view(one, two))
    assert route.traffic == Traffic(Flow(6, 60), Flow(8, 80))
    assert [a.name for a in route.assignments] == ["a", "b"]
    assert route.drops == {"wan1": 2, "adapter 99": 4}
    assert route.in_use


@promise("LOOK-02")
def test_an_adapter_that_is_gone_is_said() -> None:
    route = only(view(Counted(LiveRoute(Route("wan9"), 1))))
    assert (route.state, route.ways) == ("gone", {})
    assert "wan9 is not there" in status_table.as_table(view(Counted(LiveRoute(Route("wan9"), 1))), 0)


@promise("LOOK-02", "HEALTH-08")
def test_an_adapter_whose_checks_found_it_down_is_said() -> None:
    found = status(Identity(), machine(ailing=frozenset({3})), [Counted(LIVE)], ())
    assert only(found).state == "dead"
    assert "wan1 is dead" in status_table.as_table(found, 0)
    assert only(status(Identity(), machine(ailing=frozenset({4})), [Counted(LIVE)], ())).state == "up"


@promise("LOOK-02", "CLI-11")
def test_a_route_is_shown_with_its_own_gateway_not_with_mains() -> None:
    live = LiveRoute(Route("wan1", gateway4=IPv4Address("198.51.100.9")), 1)
    ways = only(view(Counted(live))).ways
    assert ways[Family.IPV4] == Way(IPv4Address("198.51.100.9"), "given")
    assert ways[Family.IPV6] == Way(ip_address("fe80::1"), "main, boot")


@promise("LOOK-02", "FOLLOW-07")
def test_an_adapter_that_was_renamed_is_shown_by_its_name_now() -> None:
    found = view(Counted(LiveRoute(Route("wan0"), 1, ifindex=3)))
    assert (only(found).adapter, only(found).state) == ("wan1", "up")
    assert only(found).ways[Family.IPV4].gateway == IPv4Address("198.51.100.1")
    assert "up, as wan1" in status_table.as_table(found, 0)
    assert json.loads(status_table.as_json(found))["routes"][0]["adapter"] == "wan1"


@promise("LOOK-02")
def test_a_leftover_is_said() -> None:
    assert "left behind" in status_table.as_table(view(Counted(LIVE, in_use=False)), 0)


@promise("LOOK-03")
@pytest.mark.parametrize(
    ("settings", "cookie", "ids"),
    [
        ({}, True, ["closed-sockets", "root"]),
        ({"rp_filter": {"wan1": 1}}, True, ["strangers", "closed-sockets", "root"]),
        ({"checks_reverse_path": True}, True, ["strangers", "closed-sockets", "root"]),
        ({"ipv6": False}, False, ["no-ipv6", "no-netns-cookie", "closed-sockets", "root"]),
    ],
)
def test_what_cannot_be_promised_is_a_fixed_list(
    settings: dict[str, Any], cookie: bool, ids: list[str]
) -> None:
    assert [limit.id for limit in limits(machine(**settings), netns_cookie=cookie)] == ids


@promise("RULE-30")
def test_what_is_held_and_what_when_nobody_holds_it_is_told() -> None:
    held = [limit.id for limit in limits(machine(), netns_cookie=True, holder=True)]
    assert held == ["closed-sockets", "holder", "root"]
    found = status(Identity(), machine(), [], limits(machine(), netns_cookie=True, holder=True))
    assert "does not answer" in status_table.as_table(found, 0)
    assert json.loads(status_table.as_json(found))["rules"] is None
    facts = RuleFacts("/a:1", 0, "held", via="x")
    ruled = RuleList(rules=[facts, replace(facts, enabled=False)], held=2, notes=["no x"])
    shown = status_table.as_table(found, 0, ruled)
    assert "2 rules, 1 switched off; starts of 2 files are held until they are placed" in shown
    assert "no x" in shown
    assert "Rules by unit and user need no process" in shown
    told = json.loads(status_table.as_json(found, ruled))["rules"]
    assert told == {"number": 2, "enabled": 1, "held_files": 2, "notes": ["no x"]}


@promise("LOOK-02")
def test_words_that_are_no_text_are_json_all_the_same() -> None:
    odd = Process(4, "x", "root", ("a\udcffb", "\x1b[31m"))
    found = json.loads(
        status_table.as_json(view(Counted(LIVE, assignments=(Assignment("a", "/a", (odd,)),))))
    )
    assert found["routes"][0]["assignments"][0]["processes"][0]["command"] == ["a�b", "\x1b[31m"]


@promise("LOOK-02")
def test_of_many_processes_some_are_shown() -> None:
    many = tuple(Process(n, "x", "root", ("x",)) for n in range(1, 1001))
    table = status_table.as_table(view(Counted(LIVE, assignments=(Assignment("a", "/a", many),))), 80)
    assert "and 980 more" in table
    assert all(len(line) <= 80 for line in Text.from_ansi(table).plain.splitlines())


@promise("LOOK-01", "LOOK-02")
@pytest.mark.parametrize("columns", [80, 0])
@pytest.mark.parametrize(
    ("name", "shown"), [("wan[red]", "wan[red]"), ("a\x1b[31mb", "a?[31mb"), ("a\nb", "a?b")]
)
def test_names_are_shown_as_they_are_and_steer_nothing(name: str, shown: str, columns: int) -> None:
    odd = words.machine(words.adapter(name, 3, "198.51.100.2/24", altnames=[name]), rp_filter={name: 1})
    live = LiveRoute(Route(name), 1)
    process = Process(4, name, name, (name,))
    counted = Counted(live, assignments=(Assignment(name, f"/{name}", (process,)),), drops={3: 1})
    found = status(Identity(), odd, [counted], limits(odd, netns_cookie=True))
    tables = [
        status_table.as_table(found, columns and 300),
        adapter_table.as_table(adapters(odd, [live], {}), columns and 300),
    ]
    # route twice, assignment, user, command, dropped by, limit; name, altname, route
    assert [Text.from_ansi(table).plain.count(shown) for table in tables] == [7, 3]
    assert not any("\x1b[31mb" in table or "a\nb" in table for table in tables)


@promise("LOOK-02")
@pytest.mark.parametrize("columns", [80, 120])
def test_a_long_command_fits_the_terminal(columns: int) -> None:
    long = Process(4194304, "x", "somebody", ("/usr/bin/long", "x" * 500, "--option"))
    counted = Counted(LIVE, assignments=(Assignment("procroute-run-4194304.scope", "/a", (long,)),))
    table = Text.from_ansi(status_table.as_table(view(counted), columns)).plain
    assert all(len(line) <= columns for line in table.splitlines())
    (line,) = [line for line in table.splitlines() if "/usr/bin" in line or "xxx" in line]
    assert line.endswith("…")


@promise("LOOK-02")
def test_an_ipv4_address_is_whole_at_80_columns() -> None:
    live = LiveRoute(Route("wan1", strict=True), 1, servers=(ip_address("198.51.100.53"),))
    counted = Counted(live, traffic=Traffic(Flow(5, 268), Flow(1, 999)), drops={4: 1})
    main = ["0.0.0.0/0 via 198.51.100.1 dev wan1", "::/0 via 2001:db8:1::1 dev wan1"]
    wan1 = words.adapter("wan1", 3, "198.51.100.2/24", "2001:db8:1::2/64")
    wan2 = words.adapter("wan2", 4, "203.0.113.2/24")
    found = status(Identity(), words.machine(wan1, wan2, main=main), [counted], [])
    assert "198.51.100.53" in Text.from_ansi(status_table.as_table(found, 80)).plain


@promise("OVER-09")
def test_the_kernels_tunnels_that_take_a_route() -> None:
    (wan1,) = machine().adapters
    live = LiveRoute(Route("wan1"), 1, tunnels=((wan1.ifindex, 51820), (4711, 51821)))
    found = view(Counted(live))
    assert only(found).tunnels == ("wan1",)
    assert json.loads(status_table.as_json(found))["routes"][0]["tunnels"] == ["wan1"]
    assert "under wan1" in status_table.as_table(found, 0)
    assert "under" not in status_table.as_table(view(Counted(LiveRoute(Route("wan1"), 1))), 0)


@promise("LOOK-02")
def test_every_key_that_is_printed_is_in_the_page_and_every_one_there_is_printed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
    (example,) = re.findall(
        r"procroute status --json`\n\n```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    )
    told = Process(4712, "curl", "ada", ("curl", "https://example.org"))
    live = LiveRoute(Route("wan1"), 1, servers=(ip_address("198.51.100.53"),))
    counted = Counted(live, assignments=(Assignment("a", "/a", (told,)),), drops={99: 3}, lost=0)
    said = status_table.as_json(view(counted), RuleList(rules=[]))
    assert shape(json.loads(example)) == shape(json.loads(said))


def shape(value: object) -> object:
    """The keys and kinds of what JSON holds; names of adapters and families are no keys."""
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, dict):
        if value.keys() & {"wan2", "adapter 99", "ipv4"}:
            return {"*": shape(next(iter(value.values())))}
        return {key: shape(each) for key, each in value.items()}
    return type(value).__name__
