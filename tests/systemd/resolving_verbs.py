"""A probe that is on route wan1 by each of the verbs of docs/dns.md, and how its machine looks names up."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from procroute.kernel import programs
from procroute.lab import WAN1, WAN2
from procroute.lab.names import WHO
from tests.lab.systemd_box import ADA, SystemdBox
from tests.netns.inhabitants import Inhabitant
from tests.netns.ruled import FOLDER, PROGRAM, script, write
from tests.netns.running import until
from tests.systemd.daemons import AS_ADA, Daemon, placed, started

OURS: Final = (WAN1.dns4, "192.0.2.54", WAN1.dns6, "2001:db8:ffff::54")
"""What the route asks: two of each family."""
SYSTEM: Final = {"IPv4": (WAN2.dns4, "192.0.2.153"), "IPv6": (WAN2.dns6, "2001:db8:ffff::153")}
"""What the machine asks, by wan2: the first on the LAN of that, the other anywhere."""
STUB: Final = "127.0.0.53"
_RESOLV_CONF: Final = "/etc/resolv.conf"
_SERVICE: Final = ("--pipe", "--wait", "--collect", "--unit=asks.service")


@dataclass(frozen=True, slots=True)
class Machine:
    """A box that looks names up in one way: by a file that names servers of a family, or by resolved."""

    running: Daemon
    kind: str

    @property
    def box(self) -> SystemdBox:
        """Where it is."""
        return self.running.box

    @property
    def dns(self) -> tuple[str, ...]:
        """The route's servers, where they have to be given: resolved keeps them for the adapter."""
        return () if self.kind == "resolved" else OURS


def set_up(box: SystemdBox, kind: str) -> None:
    """Have a machine look names up in this way."""
    box.sh(f"rm -f {_RESOLV_CONF}; systemctl stop systemd-resolved 2>/dev/null || true")
    nsswitch = box.path("/etc/nsswitch.conf")
    others = "passwd: files\ngroup: files\nshadow: files\n"
    if kind != "resolved":
        nsswitch.write_text(f"{others}hosts: files dns\n")
        lines = [*(f"nameserver {server}" for server in SYSTEM[kind]), "options timeout:1 attempts:1"]
        box.path(_RESOLV_CONF).write_text("\n".join([*lines, ""]))
        return
    nsswitch.write_text(f"{others}hosts: files resolve [!UNAVAIL=return] dns\n")
    servers = " ".join(server for family in SYSTEM.values() for server in family)
    settings = f"[Resolve]\nDNS={servers}\nLLMNR=no\nMulticastDNS=no\nDNSSEC=no\nCache=no\n"
    box.path("/etc/systemd/resolved.conf.d/quiet.conf").write_text(settings)
    box.sh(f"ln -s ../run/systemd/resolve/stub-resolv.conf {_RESOLV_CONF}; systemctl start systemd-resolved")
    box.sh(f"resolvectl dns wan1 {' '.join(OURS)} && resolvectl default-route wan1 no")


@contextlib.contextmanager
def _run(machine: Machine, before: Sequence[str] = ()) -> Iterator[Inhabitant]:
    options = ("--dns", ",".join(machine.dns)) if machine.dns else ()
    with placed(machine.box, before, *options) as command:
        yield command


@contextlib.contextmanager
def _assigned(machine: Machine) -> Iterator[Inhabitant]:
    """One of a service's two processes: it moves, and the other stays."""
    two = ("sh", "-c", 'sleep 600 & exec "$@"', "sh")
    with started(machine.box, *_SERVICE, by=two) as its:
        _assign(machine, str(its.ask("hello").pid), in_place=False)
        yield its


@contextlib.contextmanager
def _in_place(machine: Machine) -> Iterator[Inhabitant]:
    with started(machine.box, *_SERVICE) as its:
        _assign(machine, "--unit", "asks", in_place=True)
        yield its


def _assign(machine: Machine, *whom: str, in_place: bool) -> None:
    options = ("--dns", ",".join(machine.dns)) if machine.dns else ()
    told = json.loads(machine.running.ask("assign", *whom, "--via", "wan1", *options, "--json"))
    assert [one["in_place"] for one in told["assignments"]] == [in_place], told
    _replies[machine.kind] = told["dns"]


_replies: Final[dict[str, str]] = {}


@contextlib.contextmanager
def _by_rule(machine: Machine, condition: str) -> Iterator[None]:
    dns = f"dns = {json.dumps(machine.dns)}\n" if machine.dns else ""
    write(machine.box, f'[[rule]]\n{condition}\nvia = "wan1"\n{dns}')
    machine.running.ask("reload")
    try:
        yield
    finally:
        machine.box.sh(f"rm -rf {FOLDER}")
        machine.running.ask("reload")
        machine.running.ask("rules", "apply")


@contextlib.contextmanager
def _by_program(machine: Machine) -> Iterator[Inhabitant]:
    script(machine.box)
    with (
        _by_rule(machine, f'exe = "{PROGRAM}"'),
        started(machine.box, "--pipe", "--wait", "--collect", by=(PROGRAM,)) as its,
    ):
        yield its


@contextlib.contextmanager
def _by_user(machine: Machine) -> Iterator[Inhabitant]:
    hers = ("--user", "--pipe", "--wait", "--collect")
    with _by_rule(machine, f'user = "{ADA}"'), started(machine.box, *hers, before=AS_ADA) as its:
        until(machine.running.ps, what="her slice on its route")
        yield its


VERBS: Final[Mapping[str, Callable[[Machine], contextlib.AbstractContextManager[Inhabitant]]]] = {
    "run": _run,
    "run by a user": lambda machine: _run(machine, AS_ADA),
    "assign": _assigned,
    "rule by program": _by_program,
    "rule by user": _by_user,
    "unit in place": _in_place,
}


def says_not_followed(machine: Machine, verb: str, who: Inhabitant) -> bool:
    """Whether it is said that look-ups of it do not follow, and what helps."""
    if verb in ("assign", "unit in place"):
        reply = _replies[machine.kind]
        return reply.startswith("not followed: systemd-resolved") and "procroute run" in reply
    told = json.loads(machine.running.ask("explain", str(who.ask("hello").pid), "--json"))
    return "dns-helper" in [caveat["id"] for caveat in told["caveats"]]


def asked(machine: Machine, who: Inhabitant, ways: list[list[str]]) -> tuple[list[dict[str, str]], list[str]]:
    """Its answers, and the questions that came out by another adapter than wan1, on the wire."""
    machine.box.clear()
    heard = who.ask("names", name=WHO, ways=ways)
    assert heard.said, heard
    machine.box.settle()
    others = [
        f"{name}: {packet}"
        for name, uplink in machine.box.uplinks.items()
        if name != "wan1"
        for packet in uplink.packets(port=53)
    ]
    return json.loads(heard.said), others


def switch_off(machine: Machine, who: Inhabitant, *kinds: str) -> None:
    """Detach programs of these kinds from whatever target it is in."""
    root = machine.box.path("/sys/fs/cgroup")
    cgroup = root / who.ask("hello").cgroup.lstrip("/")
    for place in (cgroup, *cgroup.parents):
        if place.is_relative_to(root):
            programs.detach(str(place), kinds)
