"""A program to run in the machine: it asks the lab's servers who they are and whom they see.

    python -m procroute.lab.client tcp 192.0.2.80      udp ADDRESS     udp-unconnected ADDRESS
                                   name                name6           several may follow one another

One JSON line for each, in order:

    {"what": "tcp", "router": "wan1", "client": "198.51.100.2", "local": "198.51.100.2", "error": ""}

client: the source address that the server saw; local: what getsockname() told before the answer came; error:
an errno's name instead of an answer. `name` looks a name up whose address tells which name server answered.
"""

from __future__ import annotations

import errno
import json
import socket
import sys
from collections.abc import Iterator

from procroute.lab.names import WHO
from procroute.lab.patience import FACTOR
from procroute.lab.servers import WHO_PORT
from procroute.lab.topology import LAN, TUN, VPN, WAN1, WAN2

_SECONDS = 3 * FACTOR


def ask(what: str, address: str) -> dict[str, str]:
    """One answer. what: tcp, udp or udp-unconnected."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if what == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as sock:
        sock.settimeout(_SECONDS)
        if what == "udp-unconnected":
            sock.sendto(b"who", (address, WHO_PORT))
        else:
            sock.connect((address, WHO_PORT))
        local = str(sock.getsockname()[0])
        if what == "udp":
            sock.send(b"who")
        reply = json.loads(sock.recv(4096))
    return {"router": reply["router"], "client": reply["client"], "local": local, "error": ""}


def look_up(family: socket.AddressFamily) -> dict[str, str]:
    """Which name server answers the C library. Raises OSError."""
    found = socket.getaddrinfo(WHO, None, family, socket.SOCK_STREAM)
    address = str(found[0][4][0])
    nodes = {wire.number: wire.node for wire in (WAN1, WAN2, LAN, VPN, TUN)}
    number = int(address.rpartition(":" if family == socket.AF_INET6 else ".")[2])
    return {"router": nodes.get(number, address), "client": "", "local": "", "error": ""}


def answers(arguments: list[str]) -> Iterator[dict[str, str]]:
    """What each question of the command line gave."""
    words = iter(arguments)
    for what in words:
        try:
            if what in ("name", "name6"):
                answer = look_up(socket.AF_INET if what == "name" else socket.AF_INET6)
            else:
                answer = ask(what, next(words))
        except TimeoutError:
            answer = {"router": "", "client": "", "local": "", "error": "ETIMEDOUT"}
        except OSError as failure:
            name = errno.errorcode.get(failure.errno or 0, type(failure).__name__)
            answer = {"router": "", "client": "", "local": "", "error": name}
        yield {"what": what, **answer}


def main() -> int:
    """Ask everything and print it."""
    for answer in answers(sys.argv[1:]):
        sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
