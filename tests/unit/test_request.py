"""What somebody asks for becomes a route: that of the same options, or a new one with a free number."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from procroute.core.overview import Servers
from procroute.engine.reconcile import reconcile
from procroute.engine.request import Request, route_for, with_routes
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import name_servers
from procroute.kernel.fake import Crash, Fake, crash_at
from procroute.model import LiveRoute, Route
from tests.plans import words

MACHINE = words.machine(
    words.adapter("wan1", 2, "198.51.100.2/24", "2001:db8:1::2/64", altnames=["fibre"]),
    words.adapter("wan2", 3, "203.0.113.2/24"),
    main=["0.0.0.0/0 via 203.0.113.1 dev wan2", "0.0.0.0/0 via 198.51.100.1 dev wan1 metric 9"],
    resolvers=(ip_address("192.0.2.53"),),
)


@pytest.fixture(autouse=True)
def _own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapters have no name servers of their own, whatever this machine's files say."""
    monkeypatch.setattr(name_servers, "of_adapter", lambda adapter: Servers())


def ask(kernel: Fake, adapter: str, **options: Any) -> tuple[LiveRoute, list[str]]:
    """The route for a request, and what is said."""
    request = Request(["true"], adapter, **options)
    return route_for(kernel, kernel.observe(), request)


def running(*routes: Route, identity: Identity | None = None) -> Fake:
    """A kernel with these routes, numbered from 1, all with living processes."""
    kernel = Fake(MACHINE, identity or Identity())
    live = [LiveRoute(route, number) for number, route in enumerate(routes, 1)]
    reconcile(kernel, kernel.identity, lambda _: live)
    kernel.populated = {r.number for r in live}
    return kernel


@pytest.mark.promise("FAM-02", "DNS-02")
def test_the_first_route_has_number_one_and_its_notes() -> None:
    live, said = ask(running(), "wan1")
    assert (live.route, live.number, live.servers) == (Route("wan1"), 1, (ip_address("192.0.2.53"),))
    assert said == ["wan1 has no IPv6 gateway: IPv6 is unreachable for this command"]


@pytest.mark.promise("CLI-13", "CLI-14")
def test_the_same_options_share_a_route_and_others_do_not() -> None:
    kernel = running(Route("wan1"), Route("wan1", strict=True))
    assert ask(kernel, "wan1")[0].number == 1
    assert ask(kernel, "fibre")[0].number == 1
    assert ask(kernel, "wan1", strict=True)[0].number == 2
    assert ask(kernel, "wan1", dns=())[0].number == 3
    assert ask(kernel, "wan2")[0].number == 3


def test_a_shared_route_keeps_what_is_known_of_it() -> None:
    live, _ = ask(running(Route("wan1")), "wan1")
    assert live.known == (ip_address("198.51.100.1"),)


@pytest.mark.promise("KILL-01")
def test_numbers_of_what_is_being_removed_are_not_given_again() -> None:
    kernel = running(Route("wan1"), Route("wan2"))
    kernel.populated = {1}
    calls = 0
    while 2 in kernel.targets or calls == 0:
        kernel.fault = crash_at(calls)
        try:
            reconcile(kernel, kernel.identity)
        except Crash:
            pass
        kernel.fault = None
        left = any(e.table == 7302 for e in kernel.entries) or 2 in kernel.targets
        assert (ask(kernel, "wan1", strict=True, dns=())[0].number == 2) is not left
        calls += 1


@pytest.mark.promise("ID-01")
def test_where_no_number_is_left_the_remedy_is_named() -> None:
    kernel = running(
        Route("wan1"), Route("wan2"), Route("wan1", strict=True), identity=Identity(mark_mask=0x7)
    )
    with pytest.raises(ProcrouteError) as caught:
        ask(kernel, "wan2", strict=True, dns=())
    assert caught.value.code == "routes-exhausted"
    assert "all 3 routes are in use" in caught.value.message
    assert "mark_mask" in caught.value.hint


@pytest.mark.promise("ID-02")
@pytest.mark.parametrize("table", [7300, 7301, 700_002, 700_003])
def test_somebody_elses_entry_in_a_table_of_ours_is_refused(table: int) -> None:
    kernel = running()
    kernel.entries = [words.entry("192.0.2.0/24 dev wan1", {"wan1": 2}, table)]
    with pytest.raises(ProcrouteError, match=f"in table {table}, which is ours"):
        ask(kernel, "wan1")


@pytest.mark.promise("ID-02")
def test_an_overlapping_rule_is_refused_before_anything_is_done() -> None:
    kernel = running()
    rules = words.machine(rules=["4450: from all lookup 100"]).rules
    kernel.become(replace(MACHINE, rules=rules))
    with pytest.raises(ProcrouteError, match="stands among ours"):
        ask(kernel, "wan1")
    assert kernel.steps == []


@pytest.mark.promise("ERR-01")
def test_an_unknown_adapter_is_refused() -> None:
    with pytest.raises(ProcrouteError, match="there is no adapter wan9"):
        ask(running(), "wan9")


@pytest.mark.promise("CLI-11")
@pytest.mark.parametrize("zone", ["wan1", "fibre", "2"])
def test_a_zone_that_is_the_adapter_says_nothing_new(zone: str) -> None:
    live, _ = ask(running(), "wan1", gateway6=IPv6Address(f"fe80::1%{zone}"))
    assert live.route == Route("wan1", gateway6=IPv6Address("fe80::1"))


@pytest.mark.promise("CLI-11", "ERR-08")
@pytest.mark.parametrize("zone", ["wan2", "3", "wan"])
def test_a_zone_that_is_another_adapter_is_refused(zone: str) -> None:
    with pytest.raises(ProcrouteError, match=f"fe80::1%{zone} is one on {zone}, not on wan1") as caught:
        ask(running(), "fibre", gateway6=IPv6Address(f"fe80::1%{zone}"))
    assert caught.value.code == "gateway-bad"


@pytest.mark.promise("FOLLOW-07")
def test_a_route_whose_adapter_was_renamed_is_not_joined_by_the_name() -> None:
    kernel = Fake(MACHINE, Identity())
    live, _ = ask(kernel, "wan1")
    reconcile(kernel, kernel.identity, lambda _: [live])
    kernel.populated = {live.number}
    first, second = MACHINE.adapters
    swapped = (replace(first, name="wan2", altnames=()), replace(second, name="wan1"))
    kernel.become(replace(MACHINE, adapters=swapped))
    with pytest.raises(ProcrouteError, match="was wan1 before: it is wan2 now"):
        ask(kernel, "wan1")


@pytest.mark.promise("MOVE-08")
def test_a_number_that_a_socket_carries_is_not_given() -> None:
    kernel = running()
    kernel.carrying, kernel.closing = {1, 2}, {3}
    assert ask(kernel, "wan1")[0].number == 4
    kernel.carrying = {n for n in kernel.identity.numbers if n != 3}
    assert ask(kernel, "wan1")[0].number == 3


@pytest.mark.promise("ABSENT-01", "ABSENT-04")
def test_a_route_may_be_there_before_its_adapter_for_who_says_so() -> None:
    live, said = ask(running(), "wan9", absent=True)
    assert (live.route, live.ifindex, live.servers, live.no_lookups) == (Route("wan9"), 0, (), True)
    assert said == ["there is no adapter wan9: nothing leaves by wan9 until that comes"]
    with pytest.raises(ProcrouteError, match="there is no adapter wan9"):
        ask(running(Route("wan9")), "wan9")


def test_one_that_was_opened_by_another_name_before_its_adapter_came_is_the_same() -> None:
    kernel = running(Route("fibre"), Route("wan2"))
    live, _ = ask(kernel, "fibre", absent=True)
    assert (live.route, live.number, live.servers) == (Route("fibre"), 1, (ip_address("192.0.2.53"),))


@pytest.mark.promise("ERR-01")
def test_of_an_unknown_adapter_the_routes_that_have_names_are_told_too() -> None:
    error = ProcrouteError("adapter-unknown", "there is no adapter alway", "adapters here: wan1")
    told = with_routes(error, "alway", ["vpn", "always"])
    assert told.hint == "did you mean the route always? adapters here: wan1; routes: always, vpn"
    assert with_routes(error, "fibre", ["vpn"]).hint == "adapters here: wan1; routes: vpn"
    assert with_routes(error, "alway", []) is error
    other = ProcrouteError("adapter-unfit", "lo is the loopback")
    assert with_routes(other, "alway", ["always"]) is other
