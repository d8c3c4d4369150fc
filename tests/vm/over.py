"""WireGuard over a route: its outer packets leave by that, and nothing else of the machine is changed.

Run in a virtual machine (`make test-vm`), for a kernel with WireGuard. The peer is behind both uplinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

import pytest

from procroute.lab import Lab, Uplink
from tests.netns.checking import checks, deafen, found, kind_of_check
from tests.netns.daemons import daemon
from tests.netns.inhabitants import Inhabitant, bystander, routed
from tests.netns.running import procroute, unchanged, until
from tests.netns.test_reload import ask, configure
from tests.netns.traffic import FAMILIES, SERVER, both_families, gateway, own_address
from tests.netns.uplinks import by
from tests.vm import peer
from tests.vm.wireguard import settle

pytestmark = pytest.mark.promise("OVER-08")
OTHER = {"wan1": "wan2", "wan2": "wan1"}
OVER = '[adapter.wg0]\nover = "{}"\n'
Check = Literal[0, 1, 2]


@contextmanager
def tunnelled(
    prefers: str, family: int, rp_filter: Check = 0, table: Literal["off", "auto"] = "off"
) -> Iterator[Lab]:
    """A machine with wg0, whose main prefers this uplink."""
    with Lab(main="both", rp_filter=rp_filter) as lab:
        uplink = lab.uplinks[prefers]
        lab.ip(f"route add default via {gateway(uplink, 4)} dev {prefers} metric 50")
        lab.ip(f"-6 route add ::/0 via {gateway(uplink, 6)} dev {prefers} metric 50")
        peer.behind_both(lab)
        peer.dial_up(lab, table=table, outer=family)
        yield lab


def misled(lab: Lab, who: Inhabitant, uplink: Uplink, outer: int) -> list[str]:
    """What is wrong: who speaks through the tunnel is answered in both families, and all outer packets leave
    by this uplink, from its address."""
    settle(lab)
    lab.clear()
    heard = [who.ask("tcp", to=SERVER[family], seconds=2) for family in FAMILIES]
    settle(lab)
    findings = [f"{h.router or h.error} answered" for h in heard if h.router != "wg"]
    sent = uplink.packets(where=peer.is_outer)
    findings += [] if sent else [f"no outer packet by {uplink.adapter}"]
    own = own_address(uplink, outer)
    findings += [f"from {p.source} by {uplink.adapter}" for p in sent if p.source != own]
    other = lab.uplinks[OTHER[uplink.adapter]]
    return findings + [f"{other.adapter}: {p}" for p in other.packets(where=peer.is_outer)]


def until_right(lab: Lab, who: Inhabitant, uplink: Uplink, outer: int) -> None:
    """Wait until nothing is wrong; a peer that spoke by another way is asked again (WireGuard: 5 s)."""
    until(lambda: not misled(lab, who, uplink, outer), 15, f"outer packets by {uplink.adapter}")


@pytest.mark.parametrize("rp_filter", [0, 1])
@both_families
@pytest.mark.parametrize("uplink", ["wan1", "wan2"])
def test_over_each_uplink(uplink: str, family: int, rp_filter: Check) -> None:
    """Begun by `reload`; before it, the control: by what main prefers, and so again afterwards."""
    with tunnelled(OTHER[uplink], family, rp_filter) as lab, daemon(lab) as running:
        with routed(lab, via="wg0") as command:
            own, other = lab.uplinks[uplink], lab.uplinks[OTHER[uplink]]
            assert not misled(lab, command, other, family)
            assert misled(lab, command, own, family)
            before = lab.sh("wg show wg0 dump")
            configure(lab, OVER.format(uplink))
            assert ask(lab, "reload") == (0, "")
            until_right(lab, command, own, family)  # in IPv6: from 5 s on, whatever the peer had under way
            assert [w.split()[3] for w in (before, lab.sh("wg show wg0 dump"))] == ["off", "off"], "its mark"
            configure(lab, "")
            assert ask(lab, "reload") == (0, "")
            until_right(lab, command, other, family)
        assert "sport" not in _rules(lab), running.log()


def _rules(lab: Lab) -> str:
    return lab.ip("rule show") + lab.ip("-6 rule show")


@both_families
def test_where_the_route_fails_over(family: int) -> None:
    text = '[route.lines]\nadapters = ["wan1", "wan2"]\nhold = 0.3\n' + OVER.format("lines")
    with tunnelled("wan2", family) as lab:
        configure(lab, text)
        with daemon(lab), routed(lab, via="wg0") as command:
            assert not misled(lab, command, lab.wan1, family)
            lab.wan1.carrier(False)
            until_right(lab, command, lab.wan2, family)
            lab.wan1.restore()
            lab.wan1.forget_neighbours()
            until_right(lab, command, lab.wan1, family)


@both_families
def test_stale_while_the_link_stays_up(family: int) -> None:
    with tunnelled("wan2", family) as lab:
        configure(lab, OVER.format("wan1"))
        with daemon(lab), routed(lab, via="wg0") as command:
            assert not misled(lab, command, lab.wan1, family)
            deafen(lab.wan1)
            lab.clear()
            assert {command.ask("tcp", to=SERVER[f], seconds=2).error for f in FAMILIES} == {"ETIMEDOUT"}
            settle(lab)
            assert lab.wan1.packets(where=peer.is_outer)
            assert not lab.wan2.packets(where=peer.is_outer)
            lab.wan1.carrier(False)
            assert ask(lab, "reload")[0] == 0  # its route could not be opened now
            lab.clear()
            command.ask("tcp", to=SERVER[4], seconds=2)
            settle(lab)
            assert not lab.wan2.packets(where=peer.is_outer), "without a way they are held"
            assert "sport" in _rules(lab)


@pytest.mark.promise("ABSENT-06")
@both_families
def test_a_route_whose_adapter_has_not_come_yet(family: int) -> None:
    """It is an adapter that comes to have that name."""
    with tunnelled("wan2", family) as lab:
        configure(lab, OVER.format("late0"))
        with daemon(lab) as running, routed(lab, via="wg0") as command:
            assert "there is no adapter late0" in running.log()
            lab.clear()
            assert {command.ask("tcp", to=SERVER[f], seconds=2).error for f in FAMILIES} == {"ETIMEDOUT"}
            settle(lab)
            assert not [p for u in (lab.wan1, lab.wan2) for p in u.packets(where=peer.is_outer)]
            lab.ip("link property add dev wan1 altname late0")
            until_right(lab, command, lab.wan1, family)


DEATHS: Final[dict[str, Callable[[Lab, bool], object]]] = {
    "peer": lambda lab, dead: lab.uplinks["wg0"].silence(dead, forget=False),
    "uplink": lambda lab, dead: deafen(lab.wan1, dead),
}
"""What dies while all links stay up; False: it lives again. peer: it shakes hands, and carries nothing."""


@pytest.mark.promise("OVER-10")
@both_families
@pytest.mark.parametrize("dies", DEATHS)
def test_a_check_of_the_tunnel_finds_it_stale(dies: str, family: int) -> None:
    """So a route that lists it goes on by its next adapter, and back; what is outer stays where it is."""
    check = checks("wg0", kind_of_check("ping", 4), kind_of_check("ping", 6), interval=0.3, down=2)
    text = '[route.best]\nadapters = ["wg0", "wan2"]\nhold = 0.3\n'
    text += check.replace("[adapter.wg0]\n", OVER.format("wan1"), 1)
    with tunnelled("wan2", family) as lab:
        configure(lab, text)
        with daemon(lab), routed(lab, via="best") as command:
            until(lambda: found(lab, "wg0")["state"] == "up", 15)
            until_right(lab, command, lab.wan1, family)
            lab.clear()
            DEATHS[dies](lab, True)
            until(lambda: by(command) == ["wan2", "wan2"], 20)
            settle(lab)
            assert lab.wan1.packets(where=peer.is_outer), "checks go on"
            assert not lab.wan2.packets(where=peer.is_outer)
            DEATHS[dies](lab, False)
            until(lambda: by(command) == ["wg", "wg"], 30)
            until_right(lab, command, lab.wan1, family)


@both_families
def test_beside_wg_quick(family: int) -> None:
    """All of the machine goes by the tunnel, and that by wan1; wg-quick ends and begins it as ever."""
    with tunnelled("wan2", family, table="auto") as lab, bystander(lab) as other:
        assert not misled(lab, other, lab.wan2, family)
        configure(lab, OVER.format("wan1"))
        with daemon(lab) as running:
            until_right(lab, other, lab.wan1, family)
            assert lab.sh("wg show wg0 fwmark").strip() == "0xca6c"
            for _ in range(2):  # now its rules come just before ours
                peer.down(lab)
                assert "51820" not in _rules(lab)
                until(lambda: "sport" not in _rules(lab), 10, running.log())
                peer.up(lab)
                until(lambda: "sport" in _rules(lab), 10, running.log())
                until_right(lab, other, lab.wan1, family)


def test_the_daemons_end_changes_nothing_and_cleanup_all() -> None:
    with tunnelled("wan2", 4) as lab, unchanged(lab), bystander(lab):
        try:
            configure(lab, OVER.format("wan1"))
            with daemon(lab) as running:
                _by(lab, "wan1")
                assert running.stop() == 0
            _by(lab, "wan1")
            with daemon(lab) as running:
                _by(lab, "wan1")
                running.kill()
            _by(lab, "wan1")
            assert procroute(lab, "cleanup").returncode == 0
            _by(lab, "wan2")
            with daemon(lab):
                _by(lab, "wan1")
                configure(lab, "")
                assert ask(lab, "reload") == (0, "")
                _by(lab, "wan2")
        finally:
            lab.sh("rm -rf /etc/procroute")


def _by(lab: Lab, uplink: str) -> None:
    """What is sent into the tunnel leaves by this uplink."""
    settle(lab)
    lab.clear()
    lab.run(["ping", "-c1", "-W2", "-I", "wg0", peer.WG.gateway4])
    settle(lab)
    by = {name for name in OTHER if lab.uplinks[name].packets(where=peer.is_outer)}
    assert by == {uplink}
