"""What NetworkManager knows of adapters, asked over D-Bus; its files do not say it.

With ipv4.never-default (nm-settings-nmcli(5)) an adapter has no gateway in its IP4Config, but its lease names
one (org.freedesktop.NetworkManager.DHCP4Config, Options, `routers`).

Asking imports dbus_fast, which takes long: only where there is a NetworkManager.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from procroute.core.machine import Learnt
from procroute.model import IPAddress

KEEPER: Final = "NetworkManager"
_NAME: Final = "org.freedesktop.NetworkManager"
_SOCKET: Final = Path("/run/dbus/system_bus_socket")
_FOLDER: Final = Path("/run/NetworkManager")
NEWS: Final = (_FOLDER / "resolv.conf", _FOLDER / "no-stub-resolv.conf")
"""It writes them when the name servers of an adapter change, whatever it does with /etc/resolv.conf
(NetworkManager.conf(5), rc-manager)."""
DEVICES: Final = _FOLDER / "devices"
"""And in here, when what an adapter is configured by does."""
_SECONDS: Final = 1.0
"""So long may the answer take; without it we go on as without NetworkManager."""


class Known(Struct, frozen=True):
    """What is known of one adapter."""

    gateways: tuple[Learnt, ...] = ()
    servers: tuple[IPAddress, ...] = ()


Ask = Callable[[], Mapping[str, Known]]


def remembered() -> Mapping[str, Known]:
    """The same as `known`, without asking again as long as it has not written that something is new."""
    found = [_stamp(file) for file in (*NEWS, DEVICES)]
    with contextlib.suppress(OSError):
        found += [_stamp(file) for file in sorted(DEVICES.iterdir())]
    return _known_at(tuple(found))


def anew() -> Mapping[str, Known]:
    """The same as `known`, and `remembered` from now on."""
    forget()
    return remembered()


def forget() -> None:
    """Have it asked by the next `remembered`."""
    _known_at.cache_clear()


@lru_cache(1)
def _known_at(_stamps: tuple[tuple[int, int], ...]) -> Mapping[str, Known]:
    return known()


def _stamp(file: Path) -> tuple[int, int]:
    """What differs once a file was written again."""
    try:
        now = file.stat()
    except OSError:
        return 0, 0
    return now.st_ino, now.st_mtime_ns


def known() -> Mapping[str, Known]:
    """Adapter's name -> what NetworkManager knows of it; nothing where there is none or no answer."""
    if not (_FOLDER.is_dir() and _SOCKET.is_socket()):
        return {}
    import asyncio

    from dbus_fast.errors import DBusFastError

    try:
        return told(asyncio.run(_ask(f"unix:path={_SOCKET}")))
    except (OSError, EOFError, TimeoutError, DBusFastError):
        return {}


async def _ask(address: str) -> Mapping[str, Any]:
    """Its objects: path -> interface -> property -> value. It is not started by being asked."""
    import asyncio

    from dbus_fast import Message, MessageFlag, MessageType
    from dbus_fast.aio import MessageBus

    async with asyncio.timeout(_SECONDS):
        bus = MessageBus(bus_address=address)
        try:
            await bus.connect()
            question = Message(
                destination=_NAME,
                path="/org/freedesktop",
                interface="org.freedesktop.DBus.ObjectManager",
                member="GetManagedObjects",
                flags=MessageFlag.NO_AUTOSTART,
            )
            answer = await bus.call(question)
        finally:
            bus.disconnect()
    if answer.message_type is not MessageType.METHOD_RETURN:
        return {}
    objects: Mapping[str, Any] = _plain(answer.body[0])
    return objects


def _plain(value: Any) -> Any:
    """Without what tells the types of values."""
    if isinstance(value, dict):
        return {key: _plain(of) for key, of in value.items()}
    if isinstance(value, list):
        return [_plain(of) for of in value]
    return _plain(value.value) if hasattr(value, "signature") else value


def told(objects: Mapping[str, Any]) -> dict[str, Known]:
    """What its objects say of each adapter that has a configuration."""
    found: dict[str, Known] = {}
    for interfaces in objects.values():
        device = interfaces.get(f"{_NAME}.Device", {})
        name = device.get("IpInterface") or device.get("Interface")
        if not name:
            continue

        def of(key: str, kind: str, device: Mapping[str, Any] = device) -> Mapping[str, Any]:
            said: Mapping[str, Any] = objects.get(device.get(key, "/"), {}).get(f"{_NAME}.{kind}", {})
            return said

        ip4, ip6 = of("Ip4Config", "IP4Config"), of("Ip6Config", "IP6Config")
        lease = of("Dhcp4Config", "DHCP4Config").get("Options", {})
        gateways = _addresses([ip4.get("Gateway"), *_words(lease, "routers"), ip6.get("Gateway")])
        data = (*ip4.get("NameserverData", ()), *ip6.get("NameserverData", ()))
        servers = [*(one.get("address") for one in data), *ip6.get("Nameservers", ())]
        servers = servers or _words(lease, "domain_name_servers")
        learnt = tuple(Learnt(gateway, KEEPER) for gateway in gateways)
        if learnt or servers:
            found[name] = Known(learnt, _addresses(servers))
    return found


def _words(lease: Mapping[str, Any], option: str) -> list[str]:
    return str(lease.get(option, "")).split()


def _addresses(said: Iterable[str | bytes | None]) -> tuple[IPAddress, ...]:
    """Those of words, or of the 16 bytes of an IPv6 address, that are addresses; each once."""
    found: dict[IPAddress, None] = {}
    for one in said:
        with contextlib.suppress(ValueError):
            address = ip_address(one) if one else None
            if address is not None and not address.is_unspecified:
                found[address] = None
    return tuple(found)
