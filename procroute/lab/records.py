"""What the lab's servers and clients report, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """One DNS question that a router's name server saw.

    transport: "udp" or "tcp"; client, server: addresses as text, without a zone.
    """

    name: str
    type: str
    client: str
    transport: str
    server: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client on a router got: the text that came back and who sent it, or the errno's name."""

    text: str = ""
    sender: str = ""
    error: str = ""
