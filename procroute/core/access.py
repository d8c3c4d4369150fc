"""Who may ask the daemon for what. The kernel says who asks (unix(7), SO_PEERCRED); the message does not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from msgspec import Struct
from msgspec.structs import replace

from procroute.errors import ProcrouteError
from procroute.model import Allowed
from procroute.protocol import Added, Assignment, Event, Left, Process, Removed

EVERYBODY = "*"


class Peer(Struct, frozen=True):
    """Who asks. name: of the user, empty where the uid has none. began: of its process; 0: it has ended."""

    uid: int
    pid: int
    name: str = ""
    began: int = 0

    @property
    def is_root(self) -> bool:
        """Root may do everything."""
        return self.uid == 0


class Asked(Struct, frozen=True):
    """What matters of a route that somebody asks for. names: the adapter's name and alternative names."""

    names: Collection[str]
    gateway: bool
    dns: bool


def check_route(access: Mapping[str, Allowed], peer: Peer, asked: Asked) -> None:
    """Whether a user may have such a route. Raises ProcrouteError not-permitted."""
    if peer.is_root:
        return
    allowed = access.get(peer.name) or access.get(EVERYBODY) or Allowed()
    hint = f"[access] of /etc/procroute/config.toml says so for {peer.name or peer.uid}"
    if allowed.adapters is not None and not set(asked.names) & set(allowed.adapters):
        may = ", ".join(allowed.adapters) or "none"
        name = next(iter(asked.names))
        raise ProcrouteError("not-permitted", f"you may not use {name}; yours: {may}", hint)
    if asked.gateway and not allowed.gateway:
        raise ProcrouteError("not-permitted", "you may not give a gateway", hint)
    if asked.dns and not allowed.dns:
        raise ProcrouteError("not-permitted", "you may not give name servers", hint)


def check_process(peer: Peer, pid: int, uids: Collection[int]) -> None:
    """Whether somebody may move a process, or have it explained. uids: its real, effective and saved ones.

    Raises ProcrouteError not-permitted.
    """
    if not peer.is_root and set(uids) != {peer.uid}:
        raise ProcrouteError(
            "not-permitted",
            f"process {pid} is not yours{' alone' if peer.uid in uids else ''}",
            "yours are those whose real, effective and saved uid are yours; root may name any",
        )


def may_see(peer: Peer, owner: int) -> bool:
    """Whether somebody is told the command line, sockets and options of another's assignment."""
    return peer.is_root or peer.uid == owner


def of_another(assignment: Assignment) -> Assignment:
    """An assignment as it is told to whom `may_see` denies the rest; its processes are not looked at."""
    return replace(assignment, command="", rule="", options=None)


def seen_by(peer: Peer, event: Event) -> Event:
    """An event without what is not for who watches."""
    if not isinstance(event, Added | Removed | Left) or may_see(peer, event.assignment.owner):
        return event
    hidden = replace(event, assignment=of_another(event.assignment))
    if isinstance(hidden, Removed):
        return replace(hidden, ending=None)
    return replace(hidden, process=Process(hidden.process.pid)) if isinstance(hidden, Left) else hidden


def doubts(
    access: Mapping[str, Allowed], is_user: Callable[[str], bool], adapters: Collection[str]
) -> list[str]:
    """Names in [access] that nobody and nothing has now: it may come, or is misspelt. In words.

    is_user: whether somebody is called so. adapters: the names that there are, alternative ones, too.
    """
    found = []
    for user, allowed in access.items():
        if user != EVERYBODY and not is_user(user):
            found.append(f"[access.{user}]: there is no user {user}")
        for name in allowed.adapters or ():
            if name not in adapters:
                found.append(f"[access.{user}]: there is no adapter {name} now")
    return found
