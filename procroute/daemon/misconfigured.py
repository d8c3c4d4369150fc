"""A daemon that systemd has started for who asks, and that cannot serve: the configuration is wrong.

Who waits at the socket is told so, as systemd goes on listening there; who has mended the file asks the next
daemon.
"""

from __future__ import annotations

import asyncio
from typing import Final, NoReturn

from procroute import config, protocol
from procroute.core.access import Peer
from procroute.daemon.server import Server
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.user_names import user_name

_SECONDS: Final = 5.0
"""Until systemd is to start the next one: whoever asks at that moment waits for that."""
_LOOKS: Final = 20
"""So often the file is looked at meanwhile."""


async def refuse(wrong: ProcrouteError, tell: Tell) -> None:
    """Answer every request by what is wrong for some seconds, at most until the file is mended.

    Raises OSError.
    """

    async def answer(_who: Peer, _asked: protocol.Request) -> NoReturn:
        raise wrong

    server = Server(answer, user_name, tell)
    await server.start()
    for _ in range(_LOOKS):
        await asyncio.sleep(_SECONDS / _LOOKS)
        if _is_mended():
            break
    await server.stop()


def _is_mended() -> bool:
    try:
        config.read()
    except ProcrouteError:
        return False
    return True
