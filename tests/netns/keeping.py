"""A keeper of the kernel in a lab's machine, without the rest of the daemon.

    python keeping.py [BYTES]

BYTES: of the buffers that its news wait in, as few as the kernel allows if that is more. It writes lines of
JSON: what it says, {"said": TEXT}; each repair, {"what": [...], "who": TEXT, "ms": NUMBER}; and answers to
the words that it reads, `nudge` and `stop`: {"done": WORD, "seconds": NUMBER}.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from typing import Any

import msgspec

from procroute import config
from procroute.daemon.keeper import Keeper
from procroute.protocol import Event, Repaired

_writing = threading.Lock()


def say(**told: Any) -> None:
    """From any thread."""
    with _writing:
        print(json.dumps(told), flush=True)


def on_news(event: Event) -> None:
    """What the daemon would tell those who watch, of repairs."""
    if isinstance(event, Repaired):
        say(**msgspec.to_builtins(event))


def narrow(keeper: Keeper, size: int) -> None:
    """Let few of its news wait."""
    for descriptor in keeper._follower.monitor.filenos()[:2]:
        with socket.socket(fileno=descriptor) as heard:
            heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            heard.detach()


def main() -> None:
    """Until it is told to stop."""
    keeper = Keeper(config.read(), on_news, lambda line: say(said=line))
    if len(sys.argv) > 1:
        narrow(keeper, int(sys.argv[1]))
    keeper.start()
    say(done="start", tid=keeper._thread.native_id)
    for line in map(str.strip, sys.stdin):
        began = time.monotonic()
        if line == "nudge":
            keeper.nudge()
        if line == "stop":
            keeper.stop()
        say(done=line, seconds=time.monotonic() - began)
        if line == "stop":
            break


if __name__ == "__main__":
    main()
