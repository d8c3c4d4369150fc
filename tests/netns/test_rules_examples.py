"""Each example in rules/ as it stands: what it says happens on a machine that has what it names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import pytest

from procroute.lab import Lab, Uplink
from tests.netns.daemons import ALICE, BOB, Daemon, as_user, daemon, for_users
from tests.netns.inhabitants import PROBE, Command, commanded
from tests.netns.ruled import script, write
from tests.netns.running import ROOT, until
from tests.netns.traffic import FAMILIES, NO_WAY, SERVER, astray, elsewhere, gateway, own_address

EXAMPLES: Final = Path(ROOT, "rules")
APPS: Final = "/user.slice/user-1000.slice/user@1000.service/app.slice"
UUID: Final = "0f6c1b2e-8d1c-4b93-9d2a-1f0e3c5d7a99"


@contextlib.contextmanager
def example(
    name: str,
    adapters: dict[str, str],
    users: dict[str, int] | None = None,
    programs: Iterable[str] = (),
) -> Iterator[Daemon]:
    """A daemon with this example alone. adapters: what it calls an uplink; main prefers wan2.

    programs: what there is; each becomes its arguments.
    """
    with Lab(main="both") as lab:
        for uplink, called in adapters.items():
            lab.sh(f"ip link property add dev {uplink} altname {called}")
        lines = [
            "root:x:0:0::/root:/bin/sh",
            *(f"{u}:x:{n}:{n}::/:/bin/sh" for u, n in (users or {}).items()),
        ]
        lab.path("/etc/passwd").write_text("\n".join((*lines, "")))
        _writable(lab, "/usr", "/opt")
        for program in programs:
            script(lab, program)
        write(lab, (EXAMPLES / name).read_text(), name)
        with daemon(lab) as running:
            yield running


def _writable(lab: Lab, *folders: str) -> None:
    """Have folders in which the lab's machine may write, and the host's are left alone."""
    for folder in folders:
        own = f"/run/own{folder}"
        options = f"lowerdir={folder},upperdir={own}/upper,workdir={own}/work"
        lab.sh(f"mkdir -p {own}/upper {own}/work && mount -n -t overlay own -o {options} {folder}")


@contextlib.contextmanager
def started(lab: Lab, *words: str, user: int = 0, cgroup: str = "") -> Iterator[Command]:
    """A probe that is started by these words: of a user, in a cgroup."""
    with contextlib.ExitStack() as stack:
        python = stack.enter_context(for_users(lab)) if user else PROBE[0]
        into = 'mkdir -p "$0"; echo $$ >"$0/cgroup.procs"; exec "$@"'
        place = ("sh", "-c", into, f"/sys/fs/cgroup{cgroup}") if cgroup else ()
        command = [*place, *as_user(user), *words, python, *PROBE[1:]]
        yield stack.enter_context(commanded(lab, command))


def goes_by(lab: Lab, who: Command, uplink: Uplink, ways: tuple[str, ...] = ("tcp", "unconnected")) -> None:
    """In both families."""
    for family in FAMILIES:
        for way in ways:
            assert not astray(lab, who, way, family, uplink)


def comes_by(running: Daemon, who: Command, uplink: Uplink) -> None:
    """The same, as soon as the news of it has been heard."""
    pid = who.ask("hello").pid
    until(lambda: any(pid == p["pid"] for one in running.ps() for p in one["processes"]), what="its route")
    goes_by(running.lab, who, uplink)


def browser(name: str) -> None:
    """The browser, however it is installed; and nothing of it elsewhere, whatever address it binds."""
    paths = ("/usr/lib/firefox/firefox", "/usr/lib/firefox-esr/firefox-esr", "/usr/lib64/firefox/firefox")
    with example(name, {"wan1": "wg0"}, programs=paths) as running:
        lab = running.lab
        for path in paths:
            with started(lab, path) as its, started(lab) as other:
                goes_by(lab, its, lab.wan1, ("tcp", "udp", "unconnected"))
                goes_by(lab, other, lab.wan2)
        for scope in ("app-flatpak-org.mozilla.firefox-7.scope", f"snap.firefox.firefox-{UUID}.scope"):
            with started(lab, cgroup=f"{APPS}/{scope}") as its:
                comes_by(running, its, lab.wan1)
        with started(lab, paths[0]) as its:
            _nothing_elsewhere(lab, its)
            lab.sh("ip link set wan1 down")
            for family in FAMILIES:
                assert its.ask("tcp", to=SERVER[family]).error in NO_WAY
            _nothing_elsewhere(lab, its)


def _nothing_elsewhere(lab: Lab, who: Command) -> None:
    """As a browser looks for its ways out (STUN, RFC 8445): from each local address."""
    for family in FAMILIES:
        for uplink in lab.uplinks.values():
            for way in ("udp", "unconnected", "tcp"):
                lab.clear()
                who.ask(way, to=SERVER[family], source=own_address(uplink, family), seconds=0.2)
                assert not elsewhere(lab, "wan1")


def video_calls(name: str) -> None:
    """All that ada does, but for what she calls by."""
    programs = ("/opt/zoom/zoom", "/opt/zoom/ZoomWebviewHost", "/opt/teams-for-linux/teams-for-linux")
    with example(name, {"wan1": "wg0"}, {"ada": ALICE}, programs) as running:
        lab = running.lab
        with started(lab, user=ALICE) as hers, started(lab, user=BOB) as his:
            comes_by(running, hers, lab.wan1)
            goes_by(lab, his, lab.wan2)
        for program in programs:
            with started(lab, program, user=ALICE) as call:
                goes_by(lab, call, lab.wan2)
        for app in ("us.zoom.Zoom", "zoom-client", "org.jitsi.jitsi-meet"):
            scope = app.replace("-", r"\x2d")
            with started(lab, cgroup=f"{APPS}/app-flatpak-{scope}-7.scope", user=ALICE) as call:
                goes_by(lab, call, lab.wan2)


def backups(name: str) -> None:
    """By the line that nothing else takes here."""
    programs = [f"/usr/bin/{program}" for program in ("restic", "borg", "rclone", "duplicity")]
    with example(name, {}, programs=programs) as running:
        lab = running.lab
        for family in FAMILIES:
            lab.sh(f"ip -{family} route add default via {gateway(lab.wan1, family)} dev wan1 metric 1")
        for program in programs:
            with started(lab, program) as its, started(lab) as other:
                goes_by(lab, its, lab.wan2)
                goes_by(lab, other, lab.wan1)
        lab.sh("cp --remove-destination $(readlink -f /bin/sh) /usr/bin/rsync")
        late = ("/usr/bin/rsync", "-c", 'sleep 1; shift; "$@"; exit $?', "rsync")
        with (
            started(lab, *late, "backup.example.org::here") as its,
            started(lab, *late, "elsewhere") as other,
        ):
            comes_by(running, its, lab.wan2)
            goes_by(lab, other, lab.wan1)


def one_user(name: str) -> None:
    """All that guest does, from his first packet on."""
    with example(name, {"wan1": "wwan0"}, {"guest": BOB}) as running:
        lab = running.lab
        with started(lab, user=BOB) as his, started(lab, user=ALICE) as hers, started(lab) as roots:
            goes_by(lab, his, lab.wan1, ("tcp", "udp", "unconnected"))
            goes_by(lab, hers, lab.wan2)
            goes_by(lab, roots, lab.wan2)


def service(name: str) -> None:
    """The service, and what it starts."""
    with example(name, {"wan1": "wg0"}) as running:
        lab = running.lab
        slice_ = "/system.slice/transmission"
        with (
            started(lab, cgroup=f"{slice_}-daemon.service") as its,
            started(lab, cgroup=f"{slice_}-other.service") as other,
        ):
            comes_by(running, its, lab.wan1)
            goes_by(lab, other, lab.wan2)
            lab.sh("ip link set wan1 down")
            lab.clear()
            for family in FAMILIES:
                assert its.ask("tcp", to=SERVER[family]).error in NO_WAY
            assert not elsewhere(lab, "wan1")


CASES: Final[dict[str, Callable[[str], None]]] = {
    "10-browser-vpn.toml": browser,
    "20-video-calls-direct.toml": video_calls,
    "30-backups-cheap-line.toml": backups,
    "40-user-lte.toml": one_user,
    "50-service.toml": service,
}


def test_each_example_has_a_case() -> None:
    assert {path.name for path in EXAMPLES.glob("*.toml")} == set(CASES)


@pytest.mark.promise("RULE-64")
@pytest.mark.parametrize("name", CASES)
def test_what_it_says_happens(name: str) -> None:
    CASES[name](name)
