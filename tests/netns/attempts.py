"""Trying things with a routed command that the guard should stop, and what came of it.

An attempt is the way and the options of a request (see probe.py), with the names of adapters in braces where
their addresses belong: ("tcp", {"source": "{wan2}"}).
"""

from __future__ import annotations

from typing import Any

from tests.netns.inhabitants import Command, Heard
from tests.netns.traffic import SERVER, elsewhere, gateway, own_address

Attempt = tuple[str, dict[str, Any]]

NOBODY = {4: "192.0.2.200", 6: "2001:db8:ffff::200"}


def attempted(command: Command, attempt: Attempt, family: int, to: str = "", seconds: float = 0.25) -> Heard:
    """Try it. to: SERVER unless another is given."""
    how, template = attempt
    lab = command.lab
    places = {name: own_address(uplink, family) for name, uplink in lab.uplinks.items()}
    places |= {"nobody": NOBODY[family], "router": gateway(lab.lan, family)}
    request: dict[str, Any] = {
        key: value.format(**places) if isinstance(value, str) else value for key, value in template.items()
    }
    if how != "raw":
        request["seconds"] = seconds
    return command.ask(how, to=to or SERVER[family], **request)


def leaks(command: Command, attempt: Attempt, family: int) -> list[str]:
    """What came out by another adapter when it was tried."""
    command.lab.clear()
    attempted(command, attempt, family)
    return elsewhere(command.lab, "wan1")


def carried(command: Command, attempt: Attempt, family: int) -> list[str]:
    """What came out by its own adapter with wan2's address when it was tried."""
    lab = command.lab
    lab.clear()
    attempted(command, attempt, family)
    lab.settle()
    return [str(packet) for packet in lab.wan1.packets(source=own_address(lab.wan2, family))]
