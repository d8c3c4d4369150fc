"""The foreign things do what the real ones do, so that tests with them mean something."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import pytest

from procroute.lab import ICMP6, TCP, Lab
from procroute.lab.topology import SERVER4, SERVER6
from tests.lab import foreign


def routers(lab: Lab, *addresses: str) -> list[str]:
    questions = [word for address in addresses for word in ("tcp", address)]
    done = lab.run([sys.executable, "-m", "procroute.lab.client", *questions], check=True)
    return [json.loads(line)["router"] or json.loads(line)["error"] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "make",
    [foreign.openvpn, foreign.wireguard_all_but_lan, foreign.wg_quick_rule, foreign.tailscale],
    ids=lambda make: make.__name__,
)
def test_a_vpn_takes_everything_but_the_lan(make: Callable[[Lab], object]) -> None:
    with Lab() as lab:
        assert routers(lab, SERVER4, SERVER6) == ["wan2", "wan2"]
        make(lab)
        assert routers(lab, SERVER4, SERVER6, "8.8.8.8") == ["vpn", "vpn", "vpn"]
        lan = ["vpn", "vpn"] if make is foreign.tailscale else ["lan", "lan"]
        assert routers(lab, "192.168.50.1", "fd50::1") == lan


def test_the_firewalls_let_ordinary_traffic_pass_and_the_reverse_path_check_bites() -> None:
    with Lab() as lab:
        foreign.firewalld(lab)
        foreign.firewall(lab)
        foreign.mwan3_rules(lab)
        foreign.dhcp_rules(lab)
        foreign.sysctls(lab)
        assert routers(lab, SERVER4, SERVER6) == ["wan2", "wan2"]
        lab.wan2.dial(SERVER6, "2001:db8:2::2", 6001, timeout=0.5)
        lab.settle()
        # administratively prohibited: RFC 4443, section 3.1
        refused = lab.wan2.packets(protocol=ICMP6, destination=SERVER6)
        assert [(packet.source_port, packet.destination_port) for packet in refused] == [(1, 1)]
    with Lab(main="wan2") as lab:
        foreign.firewalld(lab)
        lab.ip("-6 rule add pref 10 fwmark 7 table 7")
        lab.ip("-6 route add default via 2001:db8:1::1 dev wan1 table 7")
        code = """if True:
            import socket
            s = socket.socket(socket.AF_INET6)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
            s.settimeout(0.5)
            s.connect(("2001:db8:ffff::80", 7000))
        """
        assert "TimeoutError" in lab.python(code).stderr  # left by wan1; the answers were dropped
        lab.settle()
        assert lab.wan1.packets(protocol=TCP)


def test_the_vrf_recipe_moves_the_local_table() -> None:
    with Lab() as lab:
        foreign.vrf_recipe(lab)
        assert lab.ip("rule show").startswith("32765:\tfrom all lookup local")
        assert routers(lab, SERVER4, SERVER6) == ["wan2", "wan2"]


def test_a_foreign_program_is_attached_and_lets_everything_pass() -> None:
    with Lab() as lab:
        program = ["tests/lab/foreign_programs.py", "/sys/fs/cgroup/session", "0", "1", "2"]
        lab.run([sys.executable, *program], cwd=os.getcwd(), check=True)
        assert set(lab.ask("attached")) == {f"/session {kind}" for kind in (0, 1, 2)}
        assert routers(lab, SERVER4, SERVER6) == ["wan2", "wan2"]
