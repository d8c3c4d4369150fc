"""What others have put in the way is named, and left as it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from procroute.lab import VPN, Lab
from tests.netns.inhabitants import bystander, routed
from tests.netns.refusals import Wrong, in_vain, refused
from tests.netns.running import ENVIRONMENT, procroute, run_by, unchanged
from tests.netns.traffic import astray, gateway

promise = pytest.mark.promise
RUN = ("run", "--via", "wan1", "--", "true")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.sh("mkdir -p /run/mount")  # umount(8) makes it
        yield lab


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
    assert "fwmark 0/0xfe0000" in done.stdout
    assert "default via 198.51.100.1 dev wan1" in done.stdout
    lab.ip("rule del pref 4500")
    lab.sh("rm -r /etc/procroute")


@promise("ERR-08")
@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("[identity]\nmark_maks = 1\n", "identity.mark_maks is unknown", "did you mean identity.mark_mask?"),
        ("[identity\n", "not TOML", ""),
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
