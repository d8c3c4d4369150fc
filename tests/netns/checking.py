"""Health checks in a lab: what is configured, what was found, and what is wrong with where probes went.

configure(lab, checks("wan1", 'ping = "192.0.2.80"', interval=0.3))
with daemon(lab):
    until(lambda: found(lab, "wan1")["state"] == "up")
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from procroute.lab import ICMP, ICMP6, TCP, UDP, Lab, Uplink
from procroute.lab.patience import FACTOR
from procroute.lab.topology import FAR_END
from tests.netns.traffic import FAMILIES, SERVER, gateway, own_address

PAGES: Final = [sys.executable, "-S", str(Path(__file__).with_name("pages.py"))]
KINDS: Final = ("ping", "gateway", "tcp", "dns", "http")
FILE: Final = "/run/procroute/health.json"


def kind_of_check(kind: str, family: int, server: str = "") -> str:
    """A check that is answered in the lab, as the configuration says it; `gateway` is of both families."""
    to = server or SERVER[family]
    bracketed = f"[{to}]" if family == 6 else to
    return {
        "ping": f'ping = "{to}"',
        "gateway": 'ping = "gateway"',
        "tcp": f'tcp = "{bracketed}:7000"',
        "dns": f'dns = {{ server = "{to}", name = "who.procroute.test" }}',
        "http": f'http = "http://{bracketed}/up"',
    }[kind]


def of_every_kind(*families: int) -> list[str]:
    """Checks of each kind, in both families unless told otherwise."""
    each = [kind_of_check(kind, family) for kind in KINDS for family in families or FAMILIES]
    return list(dict.fromkeys(each))


def checks(adapter: str, *each: str, need: str = "any", given: Uplink | None = None, **pace: float) -> str:
    """The configuration of an adapter. pace: of all of them, as the configuration calls it; seconds are made
    as patient as the lab is. given: whose gateways to give."""
    text = f'[adapter.{adapter}]\nneed = "{need}"\n'
    if given is not None:
        text += f'gateway4 = "{gateway(given, 4)}"\ngateway6 = "{gateway(given, 6)}"\n'
    patient = {k: v * FACTOR if k in ("interval", "timeout") else v for k, v in pace.items()}
    numbers = "".join(f"{key} = {value}\n" for key, value in patient.items())
    return text + "".join(f"[[adapter.{adapter}.check]]\n{one}\n{numbers}" for one in each)


def found(lab: Lab, adapter: str) -> dict[str, Any]:
    """What the daemon has written down of an adapter; unknown where nothing."""
    try:
        told = json.loads(lab.path(FILE).read_text(encoding="utf-8"))["adapters"]
    except FileNotFoundError:
        told = []
    nothing = {"state": "unknown", "since": 0.0, "reason": "", "checks": []}
    return next((one for one in told if one["name"] == adapter), nothing)


def states(lab: Lab, adapter: str) -> dict[str, str]:
    """The state of each check, by its words."""
    return {one["what"]: one["state"] for one in found(lab, adapter)["checks"]}


@contextlib.contextmanager
def pages(*uplinks: Uplink, certificate: tuple[str, ...] = ()) -> Iterator[None]:
    """Web servers, and name servers that fail, behind these uplinks."""
    running = [uplink.popen([*PAGES, *certificate], stdout=subprocess.PIPE) for uplink in uplinks]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=10)


def wrong(lab: Lab, uplink: Uplink) -> list[str]:
    """What is not as it should be: only `uplink` is checked, by each kind in both families."""
    lab.settle()
    findings = []
    for family in FAMILIES:
        own = own_address(uplink, family)
        sent = uplink.packets(family=family)
        findings += [f"by {uplink.adapter}, not from {own}: {p}" for p in sent if p.source != own]
        icmp = ICMP if family == 4 else ICMP6
        for protocol, port in ((icmp, None), (TCP, 7000), (TCP, 80), (UDP, 53)):
            seen = uplink.packets(family=family, protocol=protocol, destination=SERVER[family], port=port)
            if not seen:
                what = f"no check of protocol {protocol}, port {port}"
                findings.append(f"{what} by {uplink.adapter} in IPv{family}")
        if not uplink.packets(family=family, protocol=icmp, destination=gateway(uplink, family)):
            findings.append(f"the gateway was not pinged in IPv{family}")
    for name, other in lab.uplinks.items():
        if name != uplink.adapter:
            findings += [f"by {name}: {packet}" for packet in other.packets()]
    return findings


_CHAIN: Final = """table netdev checking {{
    chain in {{
        type filter hook ingress device {adapter} priority 0
{rules}
    }}
}}
"""
_SOUND: Final = "table netdev checking\ndelete table netdev checking\n"


def deafen(uplink: Uplink, on: bool = True) -> None:
    """The router answers ARP and ND, and carries nothing: its uplink is dead."""
    rules = (
        "ip protocol { tcp, udp, icmp } drop",
        "meta l4proto { tcp, udp } drop",
        "icmpv6 type echo-request drop",
    )
    uplink.nft(_CHAIN.format(adapter=FAR_END, rules="\n".join(rules)) if on else _SOUND)


NOBODY: Final = {4: "192.0.3.{}", 6: "2001:db8:fffe::{}"}
"""Addresses that never answer, once `hang` was called."""


def hang(uplink: Uplink) -> None:
    """Have nobody there answer."""
    rules = "ip daddr 192.0.3.0/24 drop\nip6 daddr 2001:db8:fffe::/48 drop"
    uplink.nft(_CHAIN.format(adapter=FAR_END, rules=rules))
