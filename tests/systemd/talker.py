"""A program that speaks on and on in both families, and writes down who answered it.

    python -S talker.py FILE [ADDRESS...] [-- PROGRAM...]

Each round: to each address by TCP and UDP, on sockets that are kept and on new ones; with addresses a look-up
by getaddrinfo(3), too; and each PROGRAM is started, which says who answered it. FILE has a JSON object after
each round: {"rounds": 3, "pid": 4711, "heard": {"tcp wan1": 6, "kept tcp goes on": 6, "start wan1": 3, …}}.
What fails is counted by its name: "udp ETIMEDOUT". It begins when there is no FILE.wait, and ends by SIGTERM.
Standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

WHO = 7000
NAME = "who.procroute.test"
SECONDS = 2 * float(os.environ.get("PROCROUTE_LAB_PATIENCE", "1"))
BETWEEN = 0.05
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

_kept: dict[tuple[str, str], socket.socket] = {}


def connected(kind: str, address: str) -> socket.socket:
    """A new socket."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, KINDS[kind])
    try:
        sock.settimeout(SECONDS)
        sock.connect((address, WHO))
    except OSError:
        sock.close()
        raise
    return sock


def by_new(kind: str, address: str) -> str:
    """Who answers on a new socket."""
    with connected(kind, address) as sock:
        if kind == "udp":
            sock.send(b"who")
        return str(json.loads(sock.recv(4096))["router"])


def by_kept(kind: str, address: str) -> str:
    """Speak on a socket of the first round; one that fails is not replaced."""
    sock = _kept.get((kind, address))
    if sock is None:
        sock = _kept[kind, address] = connected(kind, address)
        if kind == "tcp":
            sock.recv(4096)
    if kind == "udp":
        sock.send(b"who")
        return str(json.loads(sock.recv(4096))["router"])
    sock.sendall(b"again\n")
    if not sock.recv(4096):
        raise ConnectionResetError(errno.ECONNRESET, "ended")
    return "goes on"


def looked_up() -> str:
    """Whether a name is found."""
    socket.getaddrinfo(NAME, None)
    return "found"


def said_by(program: str) -> str:
    """What a program says that is started."""
    try:
        said = subprocess.run([program], stdout=subprocess.PIPE, timeout=SECONDS, check=False).stdout
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return str(json.loads(said)["router"])


def counted(heard: Counter[str], what: str, ask: Callable[..., str], *words: str) -> None:
    """Ask, and count what came of it."""
    try:
        came = ask(*words)
    except TimeoutError:
        came = "ETIMEDOUT"
    except socket.gaierror as failure:
        came = f"EAI {failure.errno}"
    except OSError as failure:
        came = errno.errorcode.get(failure.errno or 0, repr(failure))
    heard[f"{what} {came}"] += 1


def write(file: str, rounds: int, heard: Counter[str]) -> None:
    """Whoever reads it finds a whole one."""
    new = Path(f"{file}.new")
    new.write_text(json.dumps({"rounds": rounds, "pid": os.getpid(), "heard": heard}))
    new.rename(file)


def main() -> None:
    """Speak until somebody ends it."""
    file, *words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    addresses, programs = words[:cut], words[cut + 1 :]
    heard: Counter[str] = Counter()
    rounds = 0
    write(file, rounds, heard)
    while Path(f"{file}.wait").exists():
        time.sleep(BETWEEN)
    while True:
        for address in addresses:
            for kind in KINDS:
                counted(heard, f"kept {kind}", by_kept, kind, address)
                counted(heard, kind, by_new, kind, address)
        if addresses:
            counted(heard, "name", looked_up)
        for program in programs:
            counted(heard, "start", said_by, program)
        rounds += 1
        write(file, rounds, heard)
        time.sleep(BETWEEN)


if __name__ == "__main__":
    main()
