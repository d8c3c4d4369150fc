"""What `explain` says of a process is what its packets do: over random configurations, against captures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from procroute.kernel import programs
from procroute.lab import LAN, WAN1, WAN2, Lab
from procroute.lab.topology import SERVER4, SERVER6, default_routes
from tests.netns.by_hand import batch
from tests.netns.explaining import Explainer, Left, Probe, explaining, left
from tests.netns.inhabitants import Command, Inhabitant, bystander, routed
from tests.netns.traffic import OTHER_SERVER, delete_our_rules, gateway, own_address

promise = pytest.mark.promise
_WAYS: Final = ("tcp", "udp", "unconnected")
_SIDES: Final = ("wan1", "wan2")
_EXTRAS: Final = {
    "rule by source": "rule add from {own} lookup 202 pref 5000",
    "rule before ours": "rule add to {other} lookup 202 pref 100",
    "private net by wan2": "route add {private} via {gateway} dev wan2",
    "unreachable net": "route add unreachable {unreachable}",
}
"""What others may have put there; table 202 leads out by wan2. Words of ip(8)."""
_PRIVATE: Final = {4: "10.66.0.0/16", 6: "fd66::/48"}
_UNREACHABLE: Final = {4: "10.77.0.0/16", 6: "fd77::/48"}
_TAKE_AWAY: Final = (
    "for f in 4 6; do while ip -$f route del default 2>/dev/null; do :; done; "
    "for p in 100 5000; do ip -$f rule del pref $p 2>/dev/null; done; "
    "ip -$f route flush table 202 2>/dev/null; done; "
    + " ".join(f"ip route del {net} 2>/dev/null;" for net in (*_PRIVATE.values(), *_UNREACHABLE.values()))
    + " true"
)


@dataclass(frozen=True)
class Setting:
    """A machine and a route. families: of wan1 and wan2; main: which of them have a default in table main;
    rp_filter: of every adapter; gateway: the route is given one, other than main's; extras: of _EXTRAS;
    to: which destinations are tried."""

    families: tuple[str, str]
    main: str
    rp_filter: int
    strict: bool
    gateway: bool
    extras: frozenset[str] = frozenset()
    to: frozenset[str] = frozenset(("world", "lan", "subnet of wan2", "own address", "loopback"))


@st.composite
def _settings(draw: st.DrawFn) -> Setting:
    first = draw(st.sampled_from(["46", "4", "6"]))
    main = draw(st.sampled_from(["both", "wan1", "wan2", "none"]))
    # Without main's default and a given gateway a route has no way out, and run refuses.
    gateway = draw(st.booleans()) or main in ("wan2", "none")
    families = (first, draw(st.sampled_from(["46", "4", "6"])))
    extras = draw(st.frozensets(st.sampled_from(sorted(_EXTRAS))))
    to = draw(st.frozensets(st.sampled_from(sorted(destinations(4))), min_size=3, max_size=4))
    return Setting(families, main, draw(st.integers(0, 2)), draw(st.booleans()), gateway, extras, to)


@dataclass
class House:
    """A lab that examples furnish anew, with who lives in it all the time."""

    lab: Lab
    explainer: Explainer
    bystander: Inhabitant


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with Lab(main="both") as lab, explaining(lab) as explainer, bystander(lab) as other:
        yield House(lab, explainer, other)


def furnish(lab: Lab, setting: Setting) -> None:
    """Bring the machine to a setting."""
    lines = []
    for side, families, wire in zip(_SIDES, setting.families, (WAN1, WAN2), strict=True):
        lines.append(f"address flush dev {side} scope global")
        lines += [f"address add {wire.machine4} dev {side}"] * ("4" in families)
        lines += [f"address add {wire.machine6} dev {side} nodad"] * ("6" in families)
    for families, wire in zip(setting.families, (WAN1, WAN2), strict=True):
        for line in default_routes(wire, setting.main, "global").splitlines():  # type: ignore[arg-type]
            if ("::" in line) <= ("6" in families) and ("::" in line or "4" in families):
                lines.append(line)
    lab.sh(_TAKE_AWAY)
    lab.run(["ip", "-batch", "-"], stdin="\n".join([*lines, ""]), check=True)
    for family in (4, 6):
        if setting.extras and str(family) in setting.families[1]:
            batch(lab, family, *_extra_lines(lab, setting, family))
    for adapter in ("all", *_SIDES, "lan0"):
        lab.sysctl(f"net/ipv4/conf/{adapter}/rp_filter", str(setting.rp_filter))


def _extra_lines(lab: Lab, setting: Setting, family: int) -> list[str]:
    router = gateway(lab.wan2, family)
    words = {
        "own": own_address(lab.wan2, family),
        "other": OTHER_SERVER[family],
        "private": _PRIVATE[family],
        "unreachable": _UNREACHABLE[family],
        "gateway": router,
    }
    lines = [_EXTRAS[extra].format(**words) for extra in sorted(setting.extras)]
    return [f"route add default via {router} dev wan2 table 202", *lines]


def options(setting: Setting) -> list[str]:
    """Those of the run."""
    found = ["--strict"] if setting.strict else []
    if setting.gateway and "4" in setting.families[0]:
        found += ["--gateway4", WAN1.dns4]  # of the node as well
    if setting.gateway and "6" in setting.families[0]:
        found += ["--gateway6", WAN1.dns6]
    return found


def destinations(family: int) -> dict[str, str]:
    """Where things are sent, by what that is."""
    if family == 4:
        return {
            "world": SERVER4,
            "lan": LAN.gateway4,
            "subnet of wan2": WAN2.gateway4,
            "own address": LAN.address4,
            "loopback": "127.0.0.1",
            "other server": OTHER_SERVER[4],
            "private net": "10.66.0.9",
            "unreachable net": "10.77.0.9",
        }
    return {
        "world": SERVER6,
        "lan": LAN.gateway6,
        "subnet of wan2": WAN2.gateway6,
        "own address": LAN.address6,
        "loopback": "::1",
        "other server": OTHER_SERVER[6],
        "private net": "fd66::9",
        "unreachable net": "fd77::9",
    }


def sources(setting: Setting, family: int) -> list[str]:
    """What a socket can be bound to: nothing, or an address that the machine has."""
    had = [wire for wire, has in zip((WAN1, WAN2), setting.families, strict=True) if str(family) in has]
    return ["", *(wire.address4 if family == 4 else wire.address6 for wire in (*had, LAN))]


def expected(way: dict[str, object]) -> Left:
    """What an explanation says that the captures will show."""
    if way["outcome"] != "leaves":
        return set()
    return {(str(way["adapter"]), str(way["source"]))}


def explanations(
    house: House, setting: Setting, command: Inhabitant
) -> tuple[list[Probe], list[dict[str, object]]]:
    """Everything that can be sent in a setting, and how each is explained."""
    inhabitants = {"command": command, "bystander": house.bystander}
    probes: list[Probe] = []
    explained: list[dict[str, object]] = []
    for who, family in product(inhabitants, (4, 6)):
        for destination in (to for name, to in destinations(family).items() if name in setting.to):
            ways = house.explainer.ways(inhabitants[who], destination)
            for bound, way in product(sources(setting, family), _WAYS):
                probes.append(Probe(who, way, destination, bound))
                explained.append(ways[bound])
    return probes, explained


def differing(
    house: House, command: Inhabitant, probes: list[Probe], explained: list[dict[str, object]]
) -> list[str]:
    """What went otherwise than it was explained."""
    seen = left(house.lab, {"command": command, "bystander": house.bystander}, probes)
    return [
        f"{probe}: explained as {way}, but it left by {sorted(went) or 'nothing'}"
        for probe, way, went in zip(probes, explained, seen, strict=True)
        if went != expected(way)
    ]


def untrue(house: House, setting: Setting, command: Inhabitant) -> list[str]:
    """Everything that is explained now, and goes otherwise."""
    return differing(house, command, *explanations(house, setting, command))


@contextlib.contextmanager
def living(house: House, setting: Setting) -> Iterator[Command]:
    """A command on the route of a setting."""
    furnish(house.lab, setting)
    with routed(house.lab, *options(setting)) as command:
        yield command


@promise("EXPLAIN-01")
@settings(
    max_examples=14,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(setting=_settings())
def test_packets_go_as_was_explained(house: House, setting: Setting) -> None:
    with living(house, setting) as command:
        wrong = untrue(house, setting, command)
        note("\n".join(wrong))
        assert not wrong, f"{setting}:\n" + "\n".join(wrong[:5])


_PLAIN: Final = Setting(("46", "46"), "both", 0, False, False)


@promise("EXPLAIN-01", "NEG-02")
@pytest.mark.parametrize(
    "kinds", [("guard", "attempt"), ("mark", "bound"), ("mark", "bound", "guard", "attempt")]
)
def test_what_was_taken_off_is_explained_as_well(house: House, kinds: tuple[str, ...]) -> None:
    with living(house, _PLAIN) as command:
        command.switch_off(*kinds)
        found = house.explainer.ask(command.ask("hello").pid)
        assert "programs" in {c["id"] for c in found["caveats"]}
        assert untrue(house, _PLAIN, command) == []


@promise("EXPLAIN-01", "BELT-01")
def test_what_the_belt_does_is_explained_as_well(house: House) -> None:
    with living(house, _PLAIN) as command:
        command.freeze()
        command.changes_marks = True
        programs.detach(command.target, {"mark"})
        assert untrue(house, _PLAIN, command) == []
        assert house.explainer.ask(command.ask("hello").pid)["mark"] == 0x0200_0000


@promise("EXPLAIN-01", "NEG-03")
def test_without_our_rules_it_is_explained_where_things_go_then(house: House) -> None:
    with living(house, _PLAIN) as command:
        command.freeze()
        delete_our_rules(house.lab)
        assert untrue(house, _PLAIN, command) == []
        assert {w["outcome"] for w in house.explainer.ways(command, SERVER4).values()} >= {"dropped"}


@promise("EXPLAIN-01", "NEG-03")
def test_an_explanation_that_is_not_true_would_be_noticed(house: House) -> None:
    """One that is older than what has happened since."""
    with living(house, _PLAIN) as command:
        probes, explained = explanations(house, _PLAIN, command)
        assert not differing(house, command, probes, explained)
        command.switch_off("guard", "attempt")
        delete_our_rules(house.lab)
        wrong = differing(house, command, probes, explained)
        gone = {probe for probe in probes if any(line.startswith(str(probe)) for line in wrong)}
        assert {p.who for p in gone} == {"command"}
        assert {p.way for p in gone} == set(_WAYS)
        assert {p.destination for p in gone} >= {SERVER4, SERVER6}


@promise("EXPLAIN-01")
def test_what_ipv6_tries_again_is_found(house: House) -> None:
    """With no default in main a rule by source leads out: the first look-up has none, the second does."""
    setting = Setting(("46", "46"), "none", 0, False, True)
    with living(house, setting):
        lines = [f"rule add from {WAN2.address6} table 202 pref 5000"]
        lines += [f"route add default via {WAN2.gateway6} dev wan2 table 202"]
        house.lab.run(["ip", "-6", "-batch", "-"], stdin="\n".join([*lines, ""]), check=True)
        # The one that the kernel chooses, whatever it is for.
        house.lab.sh("ip -6 address del fd50::2/64 dev lan0; ip -6 address flush dev wan1 scope global")
        try:
            probes = [Probe("bystander", way, SERVER6) for way in _WAYS]
            way = house.explainer.ways(house.bystander, SERVER6)[""]
            seen = left(house.lab, {"bystander": house.bystander}, probes)
            assert seen == [{("wan2", WAN2.address6)}] * 3
            assert (way["outcome"], way["adapter"], way["source"]) == ("leaves", "wan2", WAN2.address6)
            assert (way["preference"], way["table"]) == (5000, 202)
        finally:
            house.lab.sh("ip -6 address add fd50::2/64 dev lan0 nodad; ip -6 rule del pref 5000")
            house.lab.sh("ip -6 route flush table 202")
