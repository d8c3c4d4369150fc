"""What a user can get wrong is told in one line and a hint, with its status, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from procroute.lab import VPN, WAN1, Lab
from tests.netns.inhabitants import bystander, routed
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, run_by, unchanged, until
from tests.netns.traffic import astray, gateway

promise = pytest.mark.promise


@dataclass(frozen=True, slots=True)
class Wrong:
    """Options of `run`, what the machine is made like, and what must be said. hint: part of the last line."""

    says: str
    hint: str
    options: tuple[str, ...] = ("--via", "wan1")
    make: Callable[[Lab], object] = lambda _: None
    status: int = 125


def refused(done: subprocess.CompletedProcess[str], wrong: Wrong) -> list[str]:
    """Everything that is not as an error should be. Notes may come before it, a line each."""
    every = done.stderr.splitlines()
    notes, lines = (every[: -1 - bool(wrong.hint)], every[-1 - bool(wrong.hint) :])
    found = []
    if done.returncode != wrong.status:
        found.append(f"status {done.returncode}")
    if done.stdout:
        found.append(f"on stdout: {done.stdout}")
    if not lines or not all(note.startswith("procroute: ") for note in notes):
        found.append(f"on stderr: {done.stderr}")
    elif not lines[0].startswith(f"procroute: {wrong.says}"):
        found.append(f"it says: {lines[0]}")
    elif wrong.hint and not (lines[1].startswith("  hint: ") and wrong.hint in lines[1]):
        found.append(f"it hints: {lines[1]}")
    return found


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.sh("mkdir -p /run/mount")  # umount(8) makes it
        yield lab


USAGE = {
    "no verb": ((), "no verb was given"),
    "unknown verb": (("walk",), "unknown verb walk"),
    "no adapter": (("run", "--", "true"), "no adapter was given"),
    "no command": (("run", "--via", "wan1", "--"), "no command was given"),
    "unknown option": (("cleanup", "--hard"), "unknown option --hard"),
    "gateway4": (
        ("run", "--via", "wan1", "--gateway4", "fd00::1", "--", "true"),
        "argument --gateway4: fd00::1 is",
    ),
    "gateway6": (
        ("run", "--via", "wan1", "--gateway6", "10.0.0.1", "--", "true"),
        "argument --gateway6: 10.0.0.1",
    ),
    "no address": (
        ("run", "--via", "wan1", "--gateway4", "nonsense", "--", "true"),
        "argument --gateway4: nonsense",
    ),
    "dns": (
        ("run", "--via", "wan1", "--dns", "9.9.9.9,nonsense", "--", "true"),
        "argument --dns: '9.9.9.9,nonsense'",
    ),
    "no name": (("run", "--via", "", "--", "true"), "argument --via: is empty"),
    "no user": (("run", "--via", "wan1", "--user", "", "--", "true"), "argument --user: is empty"),
    "twice": (("run", "--via", "wan1", "--via", "wan2", "--", "true"), "--via was given twice"),
    "empty dns": (("run", "--via", "wan1", "--dns", "", "--", "true"), "argument --dns: ''"),
}


@promise("ERR-08", "CLI-11", "CLI-12")
@pytest.mark.parametrize("name", USAGE)
def test_a_command_line_that_makes_no_sense(lab: Lab, name: str) -> None:
    words, says = USAGE[name]
    with unchanged(lab):
        assert not refused(procroute(lab, *words), Wrong(says, " ", status=2))


HERE = "wan1, wan2; without a way out now: lan0"
ADAPTERS = {
    "a slip": Wrong("there is no adapter wan9", "did you mean wan1 or wan2? ", ("--via", "wan9")),
    "the candidates": Wrong("there is no adapter x", f"adapters here: {HERE}", ("--via", "x")),
    "as ip(8) lists it": Wrong("there is no adapter wan1@if2", "did you mean wan1? ", ("--via", "wan1@if2")),
    "in capitals": Wrong("there is no adapter WAN1", "did you mean wan1? ", ("--via", "WAN1")),
    "two of them": Wrong(
        "there is no adapter wan1,wan2", "one adapter a route; failover", ("--via", "wan1,wan2")
    ),
    "its address": Wrong(
        "198.51.100.2 is an address", "did you mean --via wan1? ", ("--via", "198.51.100.2")
    ),
    "its gateway": Wrong(
        "2001:db8:1::1 is an address",
        "did you mean --via wan1 --gateway6 2001:db8:1::1? ",
        ("--via", "2001:db8:1::1"),
    ),
    "loopback": Wrong("lo is the loopback", "", ("--via", "lo")),
}


def unplug(lab: Lab) -> None:
    """Carrier lost, and the kernel has told everybody (linkwatch takes up to a second)."""
    lab.wan1.carrier(on=False)
    until(lambda: "linkdown" in lab.ip("route show dev wan1"))


DOWN = {
    "down": Wrong("adapter wan1 is down", "ip link set wan1 up", make=lambda lab: lab.wan1.down()),
    "no carrier": Wrong("adapter wan1 has no carrier", "cable or modem", make=unplug),
    "no address": Wrong(
        "adapter wan1 has no usable address", "DHCP", make=lambda lab: lab.ip("address flush dev wan1")
    ),
}
ROUTERS = "the router's address on the LAN of wan1"
GATEWAYS = {
    "not on an adapter without that family": Wrong(
        "gateway 198.51.100.1 is of no use: wan1 has no IPv4 address",
        "",
        ("--via", "wan1", "--gateway4", "198.51.100.1"),
        lambda lab: lab.wan1.drop_address(4),
    ),
    "own address": Wrong(
        "198.51.100.2 is this machine's own address", ROUTERS, ("--via", "wan1", "--gateway4", "198.51.100.2")
    ),
    "own IPv6 address": Wrong(
        "2001:db8:2::2 is this machine's own address",
        ROUTERS,
        ("--via", "wan1", "--gateway6", "2001:db8:2::2"),
    ),
    "multicast": Wrong(
        "224.0.0.1 cannot be a gateway", ROUTERS, ("--via", "wan1", "--gateway4", "224.0.0.1")
    ),
    "multicast in IPv6": Wrong(
        "ff02::2 cannot be a gateway", ROUTERS, ("--via", "wan1", "--gateway6", "ff02::2")
    ),
    "no address at all": Wrong(
        "0.0.0.0 cannot be a gateway", ROUTERS, ("--via", "wan1", "--gateway4", "0.0.0.0")
    ),
}
OTHERS = {
    "a link-local name server": Wrong(
        "argument --dns: fe80::1 is link-local",
        "procroute run --help",
        ("--via", "wan1", "--dns", "fe80::1"),
        status=2,
    ),
    "too many name servers": Wrong(
        "a route has at most 3 IPv4 name servers",
        "",
        ("--via", "wan1", "--dns", "192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4"),
    ),
    "an unknown user": Wrong(
        "there is no user nobody-knows", "getent", ("--via", "wan1", "--user", "nobody-knows")
    ),
    "an impossible uid": Wrong(
        "there is no user 99999999999999999999", "", ("--via", "wan1", "--user", "99999999999999999999")
    ),
}


def in_vain(lab: Lab, wrong: Wrong) -> list[str]:
    """What is not right about the refusal; the machine must be as before."""
    wrong.make(lab)
    with unchanged(lab):
        done = procroute(lab, "run", *wrong.options, "--", "sh", "-c", "echo it ran")
    return refused(done, wrong)


@promise("ERR-01", "ERR-08")
@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_that_cannot_be_meant(lab: Lab, name: str) -> None:
    assert not in_vain(lab, ADAPTERS[name])


@promise("ERR-02")
@pytest.mark.parametrize("name", DOWN)
def test_an_adapter_that_cannot_be_used_now(lab: Lab, name: str) -> None:
    try:
        assert not in_vain(lab, DOWN[name])
    finally:
        lab.wan1.restore()


@promise("ERR-03", "CLI-11")
@pytest.mark.parametrize(
    ("families", "hint"),
    [
        ("46", "--gateway4 ADDRESS or --gateway6 ADDRESS"),
        ("4", "--gateway4 ADDRESS"),
        ("6", "--gateway6 ADDRESS"),
    ],
)
def test_no_gateway_is_known(families: str, hint: str) -> None:
    with Lab(main="none", families={"wan1": families}) as lab:  # type: ignore[dict-item]
        wrong = Wrong("no gateway is known for wan1", f"give it: {hint}")
        assert not in_vain(lab, wrong)


@promise("ERR-03", "CLI-11")
def test_gateways_in_tables_for_some_sources_are_named() -> None:
    """How servers with two uplinks are often set up: a table for each source, and main with neither."""
    with Lab(main="none") as lab:
        for family, gateway, address in (
            (4, WAN1.gateway4, WAN1.address4),
            (6, WAN1.gateway6, WAN1.address6),
        ):
            lab.ip(f"-{family} route add default via {gateway} dev wan1 table 50")
            lab.ip(f"-{family} rule add pref 30000 from {address} table 50")
        both = f"--gateway4 {WAN1.gateway4} (of table 50) --gateway6 {WAN1.gateway6} (of table 50)"
        assert not in_vain(lab, Wrong("no gateway is known for wan1", f"give it: {both}"))


@promise("ERR-03", "CLI-11")
@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_that_cannot_be_one(lab: Lab, name: str) -> None:
    try:
        assert not in_vain(lab, GATEWAYS[name])
    finally:
        lab.wan1.restore()


@promise("ERR-08", "CLI-10", "CLI-12")
@pytest.mark.parametrize("name", OTHERS)
def test_other_things_that_cannot_be(lab: Lab, name: str) -> None:
    if "uid" in name:
        done = procroute(lab, "run", *OTHERS[name].options, "--", "true")
        assert done.returncode == 125
        assert done.stderr.startswith(f"procroute: {OTHERS[name].says}")
    else:
        assert not in_vain(lab, OTHERS[name])


# --- who and where

# What is imported later is imported first: Python itself may lie where only root can read.
_AS_NOBODY = """
import sys, os, locale
import procroute.engine.run, procroute.engine.cleanup, procroute.config
import procroute.cli.run, procroute.cli.cleanup, procroute.cli.demo
from procroute.cli.main import main
os.setgroups([])
os.setresuid(65534, 65534, 65534)
sys.exit(main(sys.argv[1:]))
"""


@promise("ERR-04")
@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (("run", "--via", "wan1", "--", "true"), "run must be started by root", "sudo procroute run"),
        (("cleanup",), "cleanup must be started by root", "sudo procroute cleanup"),
        (("demo",), "demo ", "sudo procroute demo"),
    ],
)
def test_without_root(lab: Lab, words: tuple[str, ...], says: str, hint: str) -> None:
    with unchanged(lab):
        done = lab.run([sys.executable, "-c", _AS_NOBODY, *words], env=ENVIRONMENT)
    assert not refused(done, Wrong(says, hint))


def elsewhere(lab: Lab, mounts: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run procroute in a mount namespace of its own, in which a script has changed something."""
    script = f'{mounts}\nexec "$@"'
    return lab.run(["unshare", "--mount", "sh", "-ec", script, "sh", *PROCROUTE, *words], env=ENVIRONMENT)


@promise("ERR-05")
@pytest.mark.parametrize(
    "words", [("run", "--via", "wan1", "--", "true"), ("cleanup",)], ids=["run", "cleanup"]
)
def test_without_cgroup2(lab: Lab, words: tuple[str, ...]) -> None:
    with unchanged(lab):
        done = elsewhere(lab, "umount -R /sys/fs/cgroup", *words)
    assert not refused(done, Wrong("cgroup v2 is not mounted", "mount -t cgroup2"))


@promise("ERR-08")
@pytest.mark.parametrize(
    ("mounts", "says"),
    [
        ("mount -o remount,ro,bind /sys/fs/cgroup", "the kernel refused to make the cgroup"),
        ("mount -t tmpfs -o ro none /run", "/run/procroute"),
    ],
    ids=["cgroups", "run"],
)
def test_where_nothing_can_be_written(lab: Lab, mounts: str, says: str) -> None:
    with unchanged(lab):
        done = elsewhere(lab, mounts, "run", "--via", "wan1", "--", "true")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith(f"procroute: {says}")
    assert "Traceback" not in done.stderr


@promise("ERR-08")
@pytest.mark.parametrize(
    "words", [("run", "--via", "wan1", "--", "true"), ("cleanup",)], ids=["run", "cleanup"]
)
def test_mounts_with_names_in_no_encoding_are_no_error(lab: Lab, words: tuple[str, ...]) -> None:
    mount = 'd=$(printf \'/run/\\377\'); mkdir "$d"; mount -t tmpfs none "$d"'
    done = elsewhere(lab, mount, *words)
    lab.sh("rmdir \"$(printf '/run/\\377')\"")
    assert (done.returncode, done.stderr) == (0, "")


# --- what is missing

_WITHOUT = """
import sys
missing = sys.argv.pop(1)
for name in [m for m in sys.modules if m.split(".")[0] == missing]:
    del sys.modules[name]
sys.modules[missing] = None
from procroute.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
_HIDDEN = """
import ctypes, sys
real = ctypes.CDLL
def without(name, *words, **named):
    if name and "{0}" in str(name):
        raise OSError(f"{{name}}: cannot open shared object file: No such file or directory")
    return real(name, *words, **named)
ctypes.CDLL = without
ctypes.cdll.LoadLibrary = without
from procroute.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
RUN = ("run", "--via", "wan1", "--", "true")


@promise("ERR-06")
@pytest.mark.parametrize("words", [RUN, ("cleanup",)], ids=["run", "cleanup"])
@pytest.mark.parametrize("package", ["msgspec", "pyroute2"])
def test_a_python_package_is_missing(lab: Lab, package: str, words: tuple[str, ...]) -> None:
    with unchanged(lab):
        done = lab.run([sys.executable, "-c", _WITHOUT, package, *words], env=ENVIRONMENT)
    assert not refused(done, Wrong(f"the Python package {package} is missing", f"pip install {package}"))


@promise("ERR-06")
def test_libbpf_is_missing(lab: Lab) -> None:
    with unchanged(lab):
        done = lab.run([sys.executable, "-c", _HIDDEN.format("libbpf"), *RUN], env=ENVIRONMENT)
    assert not refused(done, Wrong("libbpf.so.1 is missing", "libbpf1"))


@promise("ERR-06")
@pytest.mark.parametrize("how", ["library", "package"])
def test_nftables_is_missing_where_it_is_needed(how: str) -> None:
    """The reverse path check asks for our nft table."""
    with Lab(rp_filter=1) as lab, unchanged(lab):
        if how == "library":
            done = lab.run([sys.executable, "-c", _HIDDEN.format("libnftables"), *RUN], env=ENVIRONMENT)
        else:
            done = lab.run([sys.executable, "-c", _WITHOUT, "nftables", *RUN], env=ENVIRONMENT)
        assert not refused(done, Wrong("libnftables cannot be loaded", "libnftables1"))


_OLD_KERNEL = """
import errno, sys
from procroute.kernel import libbpf
def load(self):
    raise OSError(errno.EINVAL, "bpf_object__load")
libbpf.Object.load = load
from procroute.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@promise("ERR-07", "ERR-08")
def test_a_kernel_without_the_programs(lab: Lab) -> None:
    with unchanged(lab):
        done = lab.run([sys.executable, "-c", _OLD_KERNEL, *RUN], env=ENVIRONMENT)
    assert not refused(done, Wrong("this kernel does not take the BPF programs", "CONFIG_CGROUP_BPF"))


# --- other people's things in the way


OVERLAPS = {
    "a rule among ours": (
        "{ip} rule add pref 4500 fwmark 1 lookup 9",
        "somebody else's rule stands among ours: 4500:",
    ),
    "a catch-all at 0": (
        "{ip} rule add pref 0 lookup 9",
        "a rule stands before all that can be put before it: 0:",
    ),
    "bits of our mark": (
        "{ip} rule add pref 5000 fwmark 0x10000000/0x30000000 lookup 9",
        "a rule uses bits of our mark: 5000:",
    ),
    "a whole mark with our bits": (
        "{ip} rule add pref 5000 fwmark 0x2000001 lookup 9",
        "a rule uses a mark with our bits: 5000:",
    ),
    "a rule to our table": (
        "{ip} rule add pref 5000 fwmark 1 lookup 7301",
        "somebody else's rule leads to a table of",
    ),
    "an entry in our table": ("{ip} route add unreachable default table 7301", "somebody else's entry for "),
    "an entry in an adapter's table": (
        "{ip} route add unreachable default table $((700000 + $(cat /sys/class/net/wan2/ifindex)))",
        "somebody else's entry for ",
    ),
}


@promise("ID-02", "ERR-08")
@pytest.mark.parametrize("family", [4, 6], ids=lambda family: f"IPv{family}")
@pytest.mark.parametrize("name", OVERLAPS)
def test_what_would_misroute_is_refused_by_name(lab: Lab, name: str, family: int) -> None:
    add, says = OVERLAPS[name]
    lab.sh(add.format(ip=f"ip -{family}"))
    try:
        hint = "above 1" if " at 0" in name else "[identity]"
        assert not in_vain(lab, Wrong(says, hint))
    finally:
        lab.sh(add.format(ip=f"ip -{family}").replace(" add ", " del "))


BEFORE_OURS = ("pref 100 lookup 9", "pref 100 not fwmark 0x7 lookup 9", "pref 100 goto 32766")


@promise("ID-02", "BY-03")
@pytest.mark.parametrize("family", [4, 6], ids=lambda family: f"IPv{family}")
@pytest.mark.parametrize("rule", BEFORE_OURS)
def test_what_catches_everything_before_ours_does_not_catch_us(rule: str, family: int) -> None:
    with Lab() as lab:
        lab.ip(f"-{family} route add default via {gateway(lab.wan2, family)} dev wan2 table 9")
        lab.ip(f"-{family} rule add {rule}")
        with unchanged(lab), routed(lab) as command, bystander(lab) as other:
            for way in ("tcp", "unconnected"):
                assert not astray(lab, command, way, family, lab.wan1)
                assert not astray(lab, other, way, family, lab.wan2)


@promise("ID-02")
@pytest.mark.parametrize("family", [4, 6], ids=lambda family: f"IPv{family}")
def test_table_local_behind_ours_is_refused(family: int) -> None:
    """The recipe of VRF, which the kernel's own document advises."""
    with Lab() as lab:
        lab.ip(f"-{family} rule add pref 32765 table local")
        lab.ip(f"-{family} rule del pref 0")
        wrong = Wrong(
            "the rule of table local stands at 32765, behind ours", "[identity] preference above 32765"
        )
        assert not in_vain(lab, wrong)


@promise("ID-02", "ID-01")
def test_other_numbers_mend_it(lab: Lab) -> None:
    lab.ip("rule add pref 4500 fwmark 0x2000001 lookup 9")
    lab.sh("mkdir -p /etc/procroute")
    config = lab.path("/etc/procroute/config.toml")
    config.write_text("[identity]\nmark_mask = 0x00ff0000\npreference = 5000\ntable = 8000\n")
    with unchanged(lab):
        script = "ip rule show pref 5000; ip route show table 8001 default"
        done = lab.run([*run_by("wan1"), "sh", "-c", script], env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "fwmark 0/0xff0000" in done.stdout
    assert "default via 198.51.100.1 dev wan1" in done.stdout
    lab.ip("rule del pref 4500")
    lab.sh("rm -r /etc/procroute")


@promise("ERR-08")
@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("[identity]\nmark_maks = 1\n", "unknown key identity.mark_maks", "did you mean identity.mark_mask?"),
        ("[identity\n", "is not TOML", ""),
        ("[identity]\nmark_mask = 0x5\n", "identity.mark_mask = 0x5 must be", ""),
        ("[identity]\ntable = 'x'\n", "identity.table must be a number", ""),
    ],
)
def test_a_bad_configuration(lab: Lab, text: str, says: str, hint: str) -> None:
    lab.sh("mkdir -p /etc/procroute")
    lab.path("/etc/procroute/config.toml").write_text(text)
    with unchanged(lab):
        done = procroute(lab, *RUN)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("procroute: /etc/procroute/config.toml")
    assert says in done.stderr
    assert hint in done.stderr
    lab.sh("rm -r /etc/procroute")


_EXCLUSIVE = """
import sys
from tests.lab import foreign_programs
foreign_programs._ALLOW_MULTI = 0
foreign_programs.attach("/sys/fs/cgroup", int(sys.argv[1]))
"""


@promise("ERR-08", "KEEP-04")
@pytest.mark.parametrize(("hook", "name"), [(1, "cgroup_inet_egress"), (2, "cgroup_inet_sock_create")])
def test_a_program_that_allows_no_others(hook: int, name: str) -> None:
    with Lab() as lab:
        lab.run([sys.executable, "-c", _EXCLUSIVE, str(hook)], env=ENVIRONMENT, check=True)
        with unchanged(lab):
            done = procroute(lab, *RUN)
        wrong = Wrong(f"{name} cannot be attached to ", "bpftool cgroup tree")
        assert not refused(done, wrong)


@promise("ERR-08")
def test_a_failure_on_the_way_names_what_and_leaves_nothing() -> None:
    """An adapter's name that nft could not take, on a machine where nft is needed."""
    with Lab(rp_filter=1) as lab:
        lab.add(VPN)
        lab.ip("link set vpn0 down")
        lab.ip("link set vpn0 name vpn$0")
        lab.ip("link set vpn$0 up")
        options = ("--via", "vpn$0", "--gateway4", VPN.gateway4, "--dns", "system")
        wrong = Wrong("the adapter name 'vpn$0'", "", options)
        assert not in_vain(lab, wrong)
