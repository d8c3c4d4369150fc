"""Something else in the place of a WireGuard device, for a program of the tests, where the kernel has none.

It answers what `procroute.kernel.wireguard` asks; all above it, and the ip rules, are as ever. Calls pass the
fault hook as the real ones do.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

from msgspec.structs import replace

from procroute.kernel import adapters, faults, wireguard
from procroute.kernel.entry_messages import attribute
from procroute.kernel.rtnetlink import Rtnetlink
from procroute.model import Adapter

_CONTROL, _FAMILY_ID, _FAMILY = 16, 1, 40  # linux/genetlink.h; a number that it would give
_PORT, _MARK = 6, 7  # linux/wireguard.h: WGDEVICE_A_LISTEN_PORT, WGDEVICE_A_FWMARK


def stand_in(name: str, port: int) -> None:
    """From now on this process takes the adapter for a WireGuard device that sends from this port."""
    read = adapters.read

    def read_with_it(netlink: Rtnetlink) -> tuple[Adapter, ...]:
        return tuple(replace(a, kind="wireguard") if a.name == name else a for a in read(netlink))

    def answer(protocol: int, kind: int, body: bytes, *, dump: bool, nothing: Collection[int]) -> list[bytes]:
        del protocol, body, dump, nothing
        header = bytes(4)
        if kind == _CONTROL:
            said = [attribute(_FAMILY_ID, struct.pack("=H", _FAMILY))]
        else:
            said = [attribute(_PORT, struct.pack("=H", port)), attribute(_MARK, bytes(4))]
        return list(faults.passed("netlink", kind, lambda: [header + b"".join(said)]))

    adapters.read = read_with_it
    wireguard.ask = answer  # type: ignore[attr-defined]
