"""A program for the far end of an uplink: web pages of both families, and a name server that fails.

    python pages.py [CERTIFICATE KEY]

http on port 80, https on 443 where there is a certificate: /204 answers with that status, /slow after three
seconds (so many times more where the lab is patient, procroute/lab/patience.py), /close not at all. The name
server at 192.0.2.54 and 2001:db8:ffff::54 says SERVFAIL. "ready" on stdout, then until it is killed. Standard
library only.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from typing import Final

SLOW: Final = 3.0
_PATIENCE: Final = float(os.environ.get("PROCROUTE_LAB_PATIENCE", "1"))
FAILING: Final = {4: "192.0.2.54", 6: "2001:db8:ffff::54"}
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78


async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request."""
    try:
        path = (await reader.readline()).split()[1].decode()
        if path == "/slow":
            await asyncio.sleep(SLOW * _PATIENCE)
        if path != "/close":
            status = path[1:] if path[1:].isdigit() else "200"
            writer.write(f"HTTP/1.1 {status} As asked\r\nConnection: close\r\n\r\nhello".encode())
            await writer.drain()
    except (OSError, IndexError):
        pass
    writer.close()


class Failing(asyncio.DatagramProtocol):
    """A name server."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It listens."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A question."""
        self.transport.sendto(data[:2] + b"\x81\x82" + data[4:], addr)  # type: ignore[attr-defined]


async def main(certificate: list[str]) -> None:
    """Serve."""
    servers = [await asyncio.start_server(page, "::", 80), await asyncio.start_server(page, "0.0.0.0", 80)]
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
        servers += [await asyncio.start_server(page, host, 443, ssl=tls) for host in ("::", "0.0.0.0")]
    for address in FAILING.values():
        six = ":" in address
        sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        option = (socket.IPPROTO_IPV6, _IPV6_FREEBIND) if six else (socket.IPPROTO_IP, _IP_FREEBIND)
        sock.setsockopt(*option, 1)
        sock.bind((address, 53))
        await asyncio.get_running_loop().create_datagram_endpoint(Failing, sock=sock)
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
