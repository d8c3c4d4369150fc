"""What other programs put beside us: each function makes one thing in a lab's machine, as its author would.

The VPNs go through `vpn0`, whose server answers as router "vpn" (Lab.add(VPN)).
"""

from __future__ import annotations

import ipaddress
from typing import Final

from procroute.lab import VPN, Lab, Uplink

PRIVATE4: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
FOREIGN_MARK: Final = 0x00000300
"""A mark of somebody else's, outside our bits (mwan3's second uplink)."""


def vpn(lab: Lab) -> Uplink:
    """The adapter vpn0 with its server, and no route through it."""
    return lab.uplinks.get(VPN.adapter) or lab.add(VPN)


def openvpn(lab: Lab) -> Uplink:
    """OpenVPN with redirect-gateway def1 ipv6: halves of the world, each more specific than a default.

    Source: openvpn(8), --redirect-gateway.
    """
    uplink = vpn(lab)
    for prefix in ("0.0.0.0/1", "128.0.0.0/1"):
        lab.ip(f"route add {prefix} via {VPN.gateway4} dev {VPN.adapter}")
    for prefix in ("::/3", "2000::/4", "3000::/4", "fc00::/7"):
        lab.ip(f"-6 route add {prefix} via {VPN.gateway6} dev {VPN.adapter} metric 200")
    return uplink


def wireguard_all_but_lan(lab: Lab) -> Uplink:
    """WireGuard with AllowedIPs = everything but RFC 1918, in table main: dozens of global prefixes.

    Source: wg-quick(8): each of AllowedIPs becomes a route.
    """
    uplink = vpn(lab)
    prefixes = [ipaddress.IPv4Network("0.0.0.0/0")]
    for private in map(ipaddress.IPv4Network, PRIVATE4):
        prefixes = [
            part
            for prefix in prefixes
            for part in (prefix.address_exclude(private) if private.subnet_of(prefix) else [prefix])
        ]
    lines = [f"route add {prefix} dev {VPN.adapter} via {VPN.gateway4}" for prefix in sorted(prefixes)]
    lines.append(f"route add 2000::/3 dev {VPN.adapter} via {VPN.gateway6}")
    lab.run(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n", check=True)
    return uplink


def wg_quick_rule(lab: Lab) -> Uplink:
    """wg-quick with AllowedIPs = 0.0.0.0/0, ::/0: a table of its own for all that WireGuard did not mark.

    Source: wg-quick(8), add_default in its script.
    """
    uplink = vpn(lab)
    for family, gateway in (("-4", VPN.gateway4), ("-6", VPN.gateway6)):
        lab.ip(f"{family} route add default via {gateway} dev {VPN.adapter} table 51820")
        lab.ip(f"{family} rule add not fwmark 51820 table 51820")
        lab.ip(f"{family} rule add table main suppress_prefixlength 0")
    return uplink


def tailscale(lab: Lab) -> Uplink:
    """Tailscale with an exit node: preferences 5210 to 5270, table 52, bits 0xff0000 of the mark.

    Source: tailscale, wgengine/router (addIPRules).
    """
    uplink = vpn(lab)
    for family, gateway in (("-4", VPN.gateway4), ("-6", VPN.gateway6)):
        lab.ip(f"{family} route add default via {gateway} dev {VPN.adapter} table 52")
        lab.ip(f"{family} rule add pref 5210 fwmark 0x80000/0xff0000 table main")
        lab.ip(f"{family} rule add pref 5230 fwmark 0x80000/0xff0000 table default")
        lab.ip(f"{family} rule add pref 5250 fwmark 0x80000/0xff0000 type unreachable")
        lab.ip(f"{family} rule add pref 5270 table 52")
    return uplink


def firewalld(lab: Lab) -> None:
    """firewalld's IPv6_rpfilter, and a firewall that lets in only replies.

    Source: firewalld, src/firewall/core/nftables.py (build_rpfilter_rules).
    """
    lab.nft(
        """
        table inet firewalld {
            chain filter_PREROUTING {
                type filter hook prerouting priority filter + 10; policy accept;
                icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
                meta nfproto ipv6 fib saddr . mark . iif oif missing drop
            }
            chain filter_INPUT {
                type filter hook input priority filter + 10; policy accept;
                ct state { established, related } accept
                iifname "lo" accept
                meta l4proto { icmp, ipv6-icmp } accept
                reject with icmpx admin-prohibited
            }
        }
        """
    )


def firewall(lab: Lab) -> None:
    """Somebody's nft table: marks, a set with a counter, masquerading for a bridge that is not there."""
    lab.nft(
        f"""
        table inet theirs {{
            set addresses {{ type ipv4_addr; elements = {{ 192.0.2.200, 192.0.2.201 }}; }}
            chain output {{
                type route hook output priority mangle; policy accept;
                ip daddr @addresses counter meta mark set {FOREIGN_MARK:#x}
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat; policy accept;
                oifname "br-theirs" masquerade
            }}
        }}
        """
    )


def mwan3_rules(lab: Lab) -> None:
    """Rules by mark as mwan3 and pbr have them: another's preferences, marks and tables, not in the way.

    Source: OpenWrt, mwan3.
    """
    for family, gateway in (("-4", "198.51.100.1"), ("-6", "2001:db8:1::1")):
        lab.ip(f"{family} route add default via {gateway} dev wan1 table 1")
        lab.ip(f"{family} rule add pref 2001 fwmark {FOREIGN_MARK:#x}/0x3f00 table 1")


def dhcp_rules(lab: Lab) -> None:
    """Source routing as administrators of two uplinks set it up: each address leaves by its adapter."""
    for adapter, table, source4, gateway4, source6, gateway6 in (
        ("wan1", 101, "198.51.100.2", "198.51.100.1", "2001:db8:1::2", "2001:db8:1::1"),
        ("wan2", 102, "203.0.113.2", "203.0.113.1", "2001:db8:2::2", "2001:db8:2::1"),
    ):
        lab.ip(f"route add default via {gateway4} dev {adapter} table {table}")
        lab.ip(f"-6 route add default via {gateway6} dev {adapter} table {table}")
        lab.ip(f"rule add pref {30000 + table} from {source4} table {table}")
        lab.ip(f"-6 rule add pref {30000 + table} from {source6} table {table}")


def vrf_recipe(lab: Lab) -> None:
    """The local table behind other rules, as the kernel's VRF document advises: a rule at 32765 instead of 0.

    Source: Documentation/networking/vrf.rst.
    """
    for family in ("-4", "-6"):
        lab.ip(f"{family} rule add pref 32765 table local")
        lab.ip(f"{family} rule del pref 0")


def sysctls(lab: Lab) -> None:
    """Settings that an administrator chose, none of them the default."""
    lab.sysctl("net/ipv4/conf/all/src_valid_mark", "1")
    lab.sysctl("net/ipv4/conf/wan1/arp_ignore", "1")
    lab.sysctl("net/ipv4/tcp_l3mdev_accept", "1")
    lab.sysctl("net/ipv6/conf/wan2/use_tempaddr", "0")
    lab.sysctl("net/ipv6/conf/all/keep_addr_on_down", "1")
