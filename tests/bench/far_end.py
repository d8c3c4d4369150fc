"""A lab with one more adapter, bench0, whose far end serves the load program and captures nothing.

The lab's own uplinks record every packet, which would count as work of the sender.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from procroute.lab import Lab

ADAPTER = "bench0"
# RFC 2544 and RFC 3849: global in scope, so that nothing is taken for a LAN.
TARGETS = {"ipv4": "198.18.1.1", "ipv6": "2001:db8:a::1"}
GATEWAYS = {"ipv4": "198.18.0.1", "ipv6": "2001:db8:9::1"}

_WIRE = f"""
set -e
ip link add {ADAPTER} type veth peer name up0 netns $1
ip link set {ADAPTER} up
ip address add 198.18.0.2/24 dev {ADAPTER}
ip address add 2001:db8:9::2/64 dev {ADAPTER} nodad
nsenter -t $1 -n ip -batch - <<lines
link set lo up
link set up0 up
address add {GATEWAYS["ipv4"]}/24 dev up0
address add {GATEWAYS["ipv6"]}/64 dev up0 nodad
address add {TARGETS["ipv4"]}/32 dev lo
address add {TARGETS["ipv6"]}/128 dev lo nodad
lines
ip -4 route add default via {GATEWAYS["ipv4"]} dev {ADAPTER}
ip -6 route add default via {GATEWAYS["ipv6"]} dev {ADAPTER}
"""


def compile_load(folder: Path) -> Path:
    """The load program, compiled into `folder`. Raises subprocess.CalledProcessError."""
    program = folder / "load"
    source = Path(__file__).with_name("load.c")
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    return program


@contextmanager
def lab_with_far_end(load: Path) -> Iterator[Lab]:
    """A lab whose only default route, in both families, is through bench0."""
    with Lab(main="none", keep=[load.parent]) as lab:
        server = lab.popen(["unshare", "--net", load, "serve"], stdout=subprocess.PIPE)
        assert server.stdout is not None
        with server.stdout:
            _, pid = server.stdout.readline().split()
        lab.run(["sh", "-c", _WIRE, "sh", pid], check=True)
        yield lab
