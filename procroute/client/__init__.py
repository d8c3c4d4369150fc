"""The way to the daemon: for the command line, the terminal application, and your own programs.

    from procroute import protocol
    from procroute.client import Client

    with Client() as client:
        for assignment in client.ask(protocol.Ps()).assignments:
            print(assignment.id, assignment.route)

`AsyncClient` is the same with await. Each is imported when it is asked for, so that a program pays for one.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers take it: `procroute run` comes through here, and has little time
if TYPE_CHECKING:
    from procroute.client.asynchronous import AsyncClient
    from procroute.client.synchronous import Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> object:
    if name == "Client":
        from procroute.client.synchronous import Client

        return Client
    if name == "AsyncClient":
        from procroute.client.asynchronous import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
