"""The programs of a route on a cgroup of a lab, policy routing by hand, and functions run in that cgroup.

Sockets marked as MARKING says leave by wan1, all others by wan2, bound ones by the adapter of their address.

    with lab_by_hand() as lab:
        target = Target(lab)
        target.attach()
        assert target.routed(ask, 4, UDP, SERVER[4]) == ("wan1", own_address(lab.wan1, 4))
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pickle
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

import pytest

from procroute.core.door import Door, Marking
from procroute.kernel import programs
from procroute.lab import Lab, namespaces
from procroute.lab.patience import FACTOR
from procroute.model import IPAddress, IPNetwork
from tests.netns.traffic import FAMILIES, gateway, own_address

MARKING: Final = Marking(mask=0xFF00_0000, bound=0x0100_0000, mark=0x0200_0000, strict=False)
STRICT: Final = Marking(mask=0xFF00_0000, bound=0x0100_0000, mark=0x0200_0000, strict=True)
BOUND_MARK: Final = MARKING.mark | MARKING.bound
RULE: Final = "fwmark 0x2000000/0xfe000000 table 101 pref 20"
"""The one that marked sockets follow."""

_cases = itertools.count()


@contextlib.contextmanager
def lab_by_hand() -> Iterator[Lab]:
    """A lab with the rules and tables, whose routers are known as neighbours."""
    with Lab(main="wan2") as lab:
        lab.sysctl("net/ipv4/ping_group_range", "0 65534")
        for family in FAMILIES:
            lines = [f"rule add {RULE}"]
            for number, uplink in enumerate((lab.wan1, lab.wan2), 1):
                own, router = own_address(uplink, family), gateway(uplink, family)
                lines.append(f"route add default via {router} dev {uplink.adapter} table {100 + number}")
                bound = f"from {own} fwmark 0x1000000/0x1000000"
                lines.append(f"rule add {bound} table {100 + number} pref {10 + number}")
            batch(lab, family, *lines)
            for uplink in (lab.wan1, lab.wan2):
                lab.sh(f"ping -{family} -n -q -c 1 -W 2 {gateway(uplink, family)}")
        yield lab


def batch(lab: Lab, family: int, *lines: str) -> None:
    """Commands of ip(8) in one family."""
    lab.run(["ip", f"-{family}", "-batch", "-"], stdin="\n".join([*lines, ""]), check=True)


class Target:
    """A cgroup in a lab's machine, for us at `path`, below `above`. wan1, wan2: ifindexes."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.above = str(lab.path(f"/sys/fs/cgroup/case-{next(_cases)}"))
        self.path = f"{self.above}/target"
        os.makedirs(self.path)
        self.wan1, self.wan2 = (
            int(lab.path(f"/sys/class/net/{name}/ifindex").read_text()) for name in ("wan1", "wan2")
        )
        _let_connections_end(lab)
        lab.clear()

    def door(self, **changes: Any) -> Door:
        """A door to wan1, and what else is given."""
        usual: dict[str, Any] = {"adapters": frozenset({self.wan1}), "addresses": self.addresses()}
        return Door(**(usual | changes))

    def attach(self, marking: Marking = MARKING, **changes: Any) -> None:
        """Attach all programs."""
        programs.attach(self.path, marking, self.door(**changes))

    def update(self, **changes: Any) -> None:
        """Change the door."""
        programs.update(self.path, self.door(**changes))

    def detach(self, *kinds: str) -> None:
        """Take off programs of these kinds, or all."""
        programs.detach(self.path, kinds or programs.KINDS)

    def attached(self) -> programs.Attached:
        """What is attached, which must be something."""
        found = programs.attached(self.path)
        assert found is not None
        return found

    def drops(self) -> int:
        """Packets that did not leave by wan2, or from its address."""
        return programs.drops(self.path).get(self.wan2, 0)

    def addresses(self) -> frozenset[tuple[IPAddress, int]]:
        """The machine's addresses on its uplinks, as a Door takes them."""
        uplinks = ((self.lab.wan1, self.wan1), (self.lab.wan2, self.wan2))
        return frozenset((ip_address(own_address(u, f)), index) for u, index in uplinks for f in FAMILIES)

    def net_of_wan2(self, family: int) -> IPNetwork:
        """The subnet of wan2: a LAN, when a door says so."""
        router = gateway(self.lab.wan2, family)
        return ip_network(f"{router}/{24 if family == 4 else 64}", strict=False)

    def routed(self, function: Callable[..., Any], *arguments: Any, uid: int = 0, **options: Any) -> Any:
        """What a function returns or raises in a process of the target."""
        call = functools.partial(function, *arguments, **options)
        return in_child(functools.partial(self.enter, call, uid))

    def bystander(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The same in a process of the machine that is in no target."""
        return in_child(functools.partial(_enter, self.lab, "", function, *arguments))

    def enter(self, function: Callable[..., Any], uid: int = 0) -> Any:
        """Become a process of the target for good, and run a function there. For a forked child."""
        return _enter(self.lab, f"{self.path}/run", _as_user, uid, function)


def _let_connections_end(lab: Lab) -> None:
    """An earlier case's may still have to acknowledge the end of the other side."""
    deadline = time.monotonic() + 2 * FACTOR
    states = ["fin-wait-1", "fin-wait-2", "closing", "last-ack"]
    filters = [word for state in states for word in ("state", state)]
    while lab.run(["ss", "-Htn", *filters], check=True).stdout.strip() and time.monotonic() < deadline:
        time.sleep(0.01)


def _enter(lab: Lab, cgroup: str, function: Callable[..., Any], *arguments: Any) -> Any:
    Path(lab.machine.procs).write_text("0")
    if cgroup:
        Path(cgroup).mkdir(exist_ok=True)
        Path(cgroup, "cgroup.procs").write_text("0")
    with open(f"/proc/{lab.machine.pid}/ns/net") as network:
        namespaces.setns(network.fileno(), namespaces.NEWNET)
    return function(*arguments)


def _as_user(uid: int, function: Callable[[], Any]) -> Any:
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    return function()


def in_child(function: Callable[[], Any], patience: float = 10) -> Any:
    """Run in a child process and hand back the result or the OSError; anything else fails the test."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            answer: tuple[str, Any] = ("value", function())
        except OSError as error:
            answer = ("error", error)
        except BaseException:  # noqa: BLE001 - the parent tells it
            answer = ("failure", traceback.format_exc())
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            if not select.select([pipe], [], [], patience * FACTOR)[0]:
                raise TimeoutError("the child does not answer")
            kind, value = pickle.load(pipe)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if kind == "error":
        raise value
    if kind == "failure":
        pytest.fail(value, pytrace=False)
    return value
