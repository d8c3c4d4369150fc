"""Odd bytes, endless words and odd surroundings: answered in a line or simply borne, never by a traceback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.running import ENVIRONMENT, PROCROUTE, unchanged

ODD = r"$'\xff\xfe\x01'"
# To 100000 bytes: one word may have 128 KiB (execve(2), MAX_ARG_STRLEN).
LONG = "$(printf '9%.0s' {1..100000})"

SAYS = {
    "verb": (f"procroute {ODD}", 2),
    "verb, long": (f"procroute {LONG}", 2),
    "option": (f"procroute run --{ODD} -- true", 2),
    "cleanup": (f"procroute cleanup {ODD}", 2),
    "cleanup, long": (f"procroute cleanup --{LONG}", 2),
    "adapter": (f"procroute run --via {ODD} -- true", 125),
    "adapter, long": (f"procroute run --via {LONG} -- true", 125),
    "gateway4": (f"procroute run --via wan1 --gateway4 {ODD} -- true", 2),
    "gateway4, long": (f"procroute run --via wan1 --gateway4 {LONG} -- true", 2),
    "gateway6": (f"procroute run --via wan1 --gateway6 {ODD} -- true", 2),
    "zone": (f"procroute run --via wan1 --gateway6 fe80::1%{ODD} -- true", 125),
    "zone, long": (f"procroute run --via wan1 --gateway6 fe80::1%{LONG} -- true", 125),
    "zone of another": ("procroute run --via wan1 --gateway6 fe80::1%wan2 -- true", 125),
    "dns": (f"procroute run --via wan1 --dns {ODD} -- true", 2),
    "dns, long": (f"procroute run --via wan1 --dns {LONG} -- true", 2),
    "user": (f"procroute run --via wan1 --user {ODD} -- true", 125),
    "user, long": (f"procroute run --via wan1 --user {LONG} -- true", 125),
    "user, digits of others": ("procroute run --via wan1 --user ٣ -- true", 125),
    "command": (f"procroute run --via wan1 -- {ODD}", 127),
    "command, empty": ("procroute run --via wan1 -- ''", 127),
    "command, long": (f"procroute run --via wan1 -- {LONG}", 126),
    "command, a place": (f"procroute run --via wan1 -- /{ODD}/{ODD}", 127),
    "who asked": (f"SUDO_USER={ODD} procroute run --via wan1 -- {ODD}", 127),
}

RUN = "procroute run --via wan1 -- true && procroute cleanup"
MOUNT = (
    "place={place}; mkdir -p $place; mount -t {kind} none $place || exit 9; "
    "trap 'umount $place; rmdir -p --ignore-fail-on-non-empty $place' EXIT;"
)
BEARS = {
    "arguments": f"procroute run --via wan1 -- test {ODD} = {ODD}",
    "arguments, long": f"procroute run --via wan1 -- test {LONG} = {LONG}",
    "who asked": f"SUDO_USER={ODD} procroute run --via wan1 -- true",
    "environment": f"export A={ODD} B={LONG}; {RUN}",
    "no environment": f"env -i PYTHONPATH=$PYTHONPATH {' '.join(PROCROUTE)} run --via wan1 -- /bin/true",
    "plain locale": f"LC_ALL=C procroute run --via wan1 -- test {ODD} = {ODD}",
    "working directory": f"place=/run/{ODD}; mkdir $place; trap 'rmdir $place' EXIT; (cd $place; {RUN})",
    "working directory, gone": f"mkdir /run/gone; cd /run/gone; rmdir /run/gone; {RUN}",
    "mounts": f"{MOUNT.format(kind='tmpfs', place=f'/run/{ODD}')} {RUN}",
    "a mount of cgroups": f"{MOUNT.format(kind='cgroup2', place=f'/run/{ODD}')} {RUN}",
    "open files": "ulimit -n 4096; for i in {1..1200}; do exec {fd}</dev/null; done; "
    "procroute run --via wan1 -- test -e /proc/self/fd/1000 && procroute cleanup",
    "no open files": "procroute run --via wan1 -- true <&- >&- 2>&-",
    "a full disk": f"{MOUNT.format(kind='tmpfs -o size=4k', place='/etc/iproute2/rt_tables.d')} "
    f"cat /dev/zero >/etc/iproute2/rt_tables.d/fill; {RUN}",
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.sh("mkdir -p /run/mount")  # umount(8) makes it
        yield lab


def typed(lab: Lab, script: str) -> tuple[int, str]:
    """A script of bash in which `procroute` is ours: its status, and what was said on stderr."""
    head = f'procroute() {{ {" ".join(PROCROUTE)} "$@"; }}\nexport -f procroute\n'
    done = lab.run(["bash", "-c", head + script], env=ENVIRONMENT | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    return done.returncode, done.stderr


@pytest.mark.promise("ERR-08")
@pytest.mark.parametrize("name", SAYS)
def test_what_makes_no_sense_is_said(lab: Lab, name: str) -> None:
    script, status = SAYS[name]
    with unchanged(lab):
        returned, said = typed(lab, script)
    assert "Traceback" not in said
    assert returned == status, said[-400:]
    assert all(line.startswith(("procroute: ", "  hint: ")) for line in said.splitlines()), said[-400:]


@pytest.mark.promise("ERR-08")
@pytest.mark.parametrize("name", BEARS)
def test_what_is_merely_odd_is_borne(lab: Lab, name: str) -> None:
    with unchanged(lab):
        returned, said = typed(lab, BEARS[name])
    assert "Traceback" not in said
    assert returned == 0, said[-400:]
