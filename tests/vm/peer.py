"""A lab's machine with WireGuard: wg0 made by wg-quick(8), and its peer out on the internet behind wan2.

The peer's adapter is made in wan2's node, then moved to a node of its own: WireGuard's own packets come and
go where it was made; what comes out of the tunnel is seen, answered and captured by the new node.
Sources: wg(8), wg-quick(8); wireguard.com/netns for the move.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import Final, Literal

from procroute.lab import ICMP, ICMP6, UDP, Lab, Packet, Uplink, Wire
from procroute.lab.topology import FAR_END, node_addresses, node_internet

WG: Final = Wire("wg0", "wg", 6, "10.13.0.2", "fd13::2", "10.13.0.1", "fd13::1", "10.13.0.53", "fd13::53")
ENDPOINT: Final = {4: "192.0.2.99", 6: "2001:db8:ffff::99"}
"""The peer's outer address, by the outer family."""
_PORT: Final = 51820
_NOBODY_THERE: Final = ((ICMP, 3, 3), (ICMP6, 1, 4))
"""Protocol, type and code of "port unreachable" (RFC 792, RFC 4443)."""
_FILE: Final = "/etc/wireguard/wg0.conf"


def dial_up(lab: Lab, table: Literal["off", "auto"] = "off", outer: int = 4) -> Uplink:
    """wg0 for everything (AllowedIPs = 0.0.0.0/0, ::/0). No packet has gone through it yet.

    table: as in wg-quick(8): "off" makes no route, "auto" takes all traffic by a rule and a mark; outer: the
    family that the tunnel itself uses.
    """
    near, far = _wg("genkey"), _wg("genkey")
    node, channel = lab._child(WG.node, "node", name=WG.node, number=WG.number)
    channel.call("ready")
    outside = lab.wan2
    made = [f"address replace {address} dev lo" for address in ENDPOINT.values()]
    made += ["link add wgpeer type wireguard"]
    outside.batch("\n".join(made) + "\n")
    allowed = f"{WG.address4}/32,{WG.address6}/128"
    peer = ["peer", _wg("pubkey", near), "allowed-ips", allowed]
    words = ["wg", "set", "wgpeer", "listen-port", str(_PORT), "private-key", "/dev/stdin", *peer]
    outside.run(words, stdin=far, check=True)
    outside.batch(f"link set wgpeer netns /proc/{node.pid}/ns/net name {FAR_END}\n")
    node.batch(node_internet(WG) + node_addresses(WG))
    channel.call("capture", adapter=FAR_END)
    file = lab.path(_FILE)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(_configuration(near, _wg("pubkey", far), table, outer))
    uplink = Uplink(replace(WG), channel, node, lab.machine, "")
    lab.uplinks[WG.adapter] = uplink
    up(lab)
    return uplink


_BETWEEN: Final = """link add between type veth peer name between netns /proc/{wan2}/ns/net
link set between up
address add 100.64.0.1/30 dev between
address add 2001:db8:64::1/64 dev between nodad
"""
_TO_PEER: Final = """route add {peer4}/32 via 100.64.0.2 dev between table local
route add {peer6}/128 via 2001:db8:64::2 dev between table local
"""
_BACK: Final = """link set between up
address add 100.64.0.2/30 dev between
address add 2001:db8:64::2/64 dev between nodad
route add {own4}/32 via 100.64.0.1 dev between
route add {own6}/128 via 2001:db8:64::1 dev between
"""
_FORWARDS: Final = "for name in ipv4 ipv6; do echo 1 >/proc/sys/net/$name/conf/all/forwarding; done"


def behind_both(lab: Lab) -> None:
    """Have the peer reached by wan1 as well: its node hands on to wan2's what is for the peer."""
    wire = lab.wan1.wire
    lab.wan1.batch(_BETWEEN.format(wan2=lab.wan2._node.pid))
    lab.wan2.batch(_BACK.format(own4=wire.address4, own6=wire.address6))
    lab.wan1.batch(_TO_PEER.format(peer4=ENDPOINT[4], peer6=ENDPOINT[6]))
    for uplink in (lab.wan1, lab.wan2):
        uplink.sh(_FORWARDS)


def up(lab: Lab) -> None:
    """wg-quick up."""
    lab.run(["wg-quick", "up", _FILE], check=True)


def down(lab: Lab) -> None:
    """wg-quick down: the adapter is gone."""
    lab.run(["wg-quick", "down", _FILE], check=True)


def is_outer(packet: Packet) -> bool:
    """Whether it is one of WireGuard's own, on its way to the peer."""
    to_peer = packet.destination in ENDPOINT.values() and packet.destination_port == _PORT
    return packet.protocol == UDP and to_peer


def is_refusal(packet: Packet) -> bool:
    """Whether it is the kernel's answer to a packet of the peer's that came after the tunnel's end."""
    said = (packet.protocol, packet.source_port, packet.destination_port)
    return said in _NOBODY_THERE and packet.destination in ENDPOINT.values()


def _configuration(private: str, peer: str, table: str, outer: int) -> str:
    endpoint = ENDPOINT[outer] if outer == 4 else f"[{ENDPOINT[outer]}]"
    return f"""[Interface]
PrivateKey = {private}
Address = {WG.address4}/32, {WG.address6}/128
Table = {table}

[Peer]
PublicKey = {peer}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = {endpoint}:{_PORT}
"""


def _wg(verb: str, text: str = "") -> str:
    done = subprocess.run(["wg", verb], input=text, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()
