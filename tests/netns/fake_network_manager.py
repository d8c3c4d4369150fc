"""A service that answers as NetworkManager does, for what procroute asks of it.

    python fake_network_manager.py ADDRESS ADAPTER GATEWAY4 GATEWAY6 DNS4 DNS6 [silent]

Its adapter has ipv4.never-default: the gateway of IPv4 stands in the lease alone. Types as in the
documentation of its D-Bus interfaces Device, IP4Config, IP6Config and DHCP4Config. It makes
/run/up once it has its name; silent: it never answers.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

NAME = "org.freedesktop.NetworkManager"
TOP = "/org/freedesktop/NetworkManager"


def objects(adapter: str, gateway4: str, gateway6: str, dns4: str, dns6: str) -> dict[str, object]:
    """What GetManagedObjects gives: a{oa{sa{sv}}}."""
    lease = {"routers": Variant("s", gateway4), "ip_address": Variant("s", "198.51.100.2")}
    return {
        f"{TOP}/Devices/2": {
            f"{NAME}.Device": {
                "Interface": Variant("s", adapter),
                "IpInterface": Variant("s", adapter),
                "Ip4Config": Variant("o", f"{TOP}/IP4Config/1"),
                "Ip6Config": Variant("o", f"{TOP}/IP6Config/1"),
                "Dhcp4Config": Variant("o", f"{TOP}/DHCP4Config/1"),
            }
        },
        f"{TOP}/IP4Config/1": {
            f"{NAME}.IP4Config": {
                "Gateway": Variant("s", ""),
                "NameserverData": Variant("aa{sv}", [{"address": Variant("s", dns4)}]),
            }
        },
        f"{TOP}/IP6Config/1": {
            f"{NAME}.IP6Config": {
                "Gateway": Variant("s", gateway6),
                "Nameservers": Variant("aay", [socket.inet_pton(socket.AF_INET6, dns6)]),
            }
        },
        f"{TOP}/DHCP4Config/1": {f"{NAME}.DHCP4Config": {"Options": Variant("a{sv}", lease)}},
    }


async def main(address: str, *told: str, silent: bool) -> None:
    """Answer until killed."""
    bus = await MessageBus(bus_address=address).connect()

    def answer(message: Message) -> Message | bool:
        if message.message_type is not MessageType.METHOD_CALL or message.member != "GetManagedObjects":
            return False
        if silent:
            return True
        return Message.new_method_return(message, "a{oa{sa{sv}}}", [objects(*told)])

    bus.add_message_handler(answer)
    await bus.request_name(NAME)
    Path("/run/up").touch()  # noqa: ASYNC240 - nobody waits meanwhile
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:7], silent=len(sys.argv) > 7))
