"""Tunnels whose outer packets take a route, as the configuration asks for them: a frozen type."""

from __future__ import annotations

from msgspec import Struct


class Tunnel(Struct, frozen=True, cache_hash=True):
    """One `[adapter.NAME]` with `over`. name: the tunnel's adapter, whether it is there or not.

    over: a route of the configuration by name, an adapter, or several with commas between. unit, exe: of the
    process that speaks for the tunnel, as conditions of route rules are written; both empty: whoever has the
    tun device open. file, line: where `over` stands.
    """

    name: str
    over: str
    unit: tuple[str, ...] = ()
    exe: tuple[str, ...] = ()
    file: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        """As people are told: FILE:LINE."""
        return f"{self.file}:{self.line}"
