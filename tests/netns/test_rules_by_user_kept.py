"""What stands at the root of the tree for rules by user: it outlives the daemon, is mended, and goes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from procroute.lab.topology import VPN
from tests.netns.by_user import HERS, at_the_root, finds, starts, take_off
from tests.netns.daemons import ALICE, BOB, daemon
from tests.netns.holding import programs
from tests.netns.ruled import FOLDER, done, rule, started, write
from tests.netns.running import ours, procroute, run, until
from tests.netns.traffic import (
    FAMILIES,
    SERVER,
    assert_nowhere,
    astray,
    both_families,
    delete_our_rules,
    gateway,
)

promise = pytest.mark.promise


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A machine whose first default route is by wan2, with a rule."""
    with Lab(main="both") as made:
        programs(made)
        write(made, HERS)
        yield made


def routed(lab: Lab) -> bool:
    """Whether her sockets follow in both families."""
    return all(starts(lab, family, 3) == {"wan1": 3} for family in FAMILIES)


@promise("RULE-74")
def test_it_holds_without_a_daemon_and_the_next_one_goes_on(lab: Lab) -> None:
    with daemon(lab) as running:
        assert routed(lab)
        there = at_the_root(lab)
        assert there
        running.kill()
        assert routed(lab)
    with daemon(lab) as running:
        assert routed(lab)
        assert at_the_root(lab) == there
        assert "put right" not in running.log()
        assert running.stop() == 0
        assert routed(lab)
    lab.sh(f"rm {FOLDER}/*")
    with daemon(lab):
        until(lambda: not at_the_root(lab))
        until(lambda: not ours(lab).get("rules"))
        assert starts(lab, 4, 3) == {"wan2": 3}


@promise("RULE-74")
def test_it_goes_with_its_last_rule(lab: Lab) -> None:
    path = write(lab, rule('user = "1001"', way='via = "wan2"'), "60-more.toml")
    with daemon(lab):
        assert routed(lab)
        done(lab, "disable", f"{FOLDER}/50-test.toml:1")
        assert starts(lab, 4, 3) == {"wan2": 3}
        assert at_the_root(lab)
        done(lab, "remove", f"{path}:1")
        assert not at_the_root(lab)
        until(lambda: "rules" not in ours(lab))


@promise("RULE-74")
@both_families
def test_what_others_take_away_is_put_back(lab: Lab, family: int) -> None:
    with daemon(lab) as running, started(lab, user=ALICE) as hers:
        assert not astray(lab, hers, "tcp", family, lab.wan1)
        for names in ((), ("pr_own_create",), ("pr_own_listen",)):
            before = len(at_the_root(lab))
            take_off(lab, *names)
            assert len(at_the_root(lab)) < before
            lab.ip("link add news0 type veth peer name news1")  # nobody is told of programs
            until(lambda: len(at_the_root(lab)) == before)  # noqa: B023 - asked at once
            lab.ip("link del news0")
            assert not astray(lab, hers, "tcp", family, lab.wan1)
        assert "the programs for users' sockets" in running.log()
        lab.nft("flush ruleset")
        delete_our_rules(lab)
        until(lambda: not astray(lab, hers, "tcp", family, lab.wan1))


@promise("RULE-74")
@both_families
def test_a_run_of_its_own_beside_it_leaves_it(lab: Lab, family: int) -> None:
    with daemon(lab) as running, started(lab, user=ALICE) as hers:
        assert hers.ask("tcp", to=SERVER[family], keep="kept").router == lab.wan1.wire.node
        running.kill()
        for adapter in ("wan1", "wan2"):
            assert run(lab, adapter, "true").returncode == 0
            assert hers.ask("again", name="kept").said == "again\n"
            assert not astray(lab, hers, "tcp", family, lab.wan1)


@promise("RULE-74")
def test_cleanup_finds_it_and_says_who_is_routed(lab: Lab) -> None:
    with daemon(lab) as running:
        assert routed(lab)
        running.kill()
    with started(lab, user=ALICE) as hers:
        pid = hers.ask("hello").pid
        refused = procroute(lab, "cleanup")
        assert refused.returncode == 3
        assert f"{pid}" in refused.stderr
        assert routed(lab)
        assert procroute(lab, "cleanup", "--force").returncode == 0
        assert not at_the_root(lab)
        assert not ours(lab)
        assert not astray(lab, hers, "tcp", 4, lab.wan2)


@promise("RULE-76")
@both_families
@pytest.mark.parametrize("existing", ["keep", "reset"])
def test_what_is_open_follows_when_rules_are_applied(lab: Lab, family: int, existing: str) -> None:
    with daemon(lab), contextlib.ExitStack() as stack:
        done(lab, "disable", f"{FOLDER}/50-test.toml:1")
        hers, other = (stack.enter_context(started(lab, user=user)) for user in (ALICE, ALICE + 1))
        for one in (hers, other):
            assert one.ask("tcp", to=SERVER[family], keep="old").router == lab.wan2.wire.node
            one.ask("fresh", kind="udp", family=family, name="free")
        done(lab, "enable", f"{FOLDER}/50-test.toml:1")
        assert finds(lab) == ["owner"]
        assert done(lab, "apply", "--existing", existing)["placed"] == 1
        assert hers.ask("reach", name="free", to=SERVER[family]).router == lab.wan1.wire.node
        assert other.ask("reach", name="free", to=SERVER[family]).router == lab.wan2.wire.node
        again = hers.ask("again", name="old")
        assert (again.error, again.said) == (("", "again\n") if existing == "keep" else ("ECONNABORTED", ""))
        assert other.ask("again", name="old").said == "again\n"
        assert done(lab, "apply")["placed"] == 0


@promise("RULE-75")
def test_without_bpf_it_is_left_to_news(lab: Lab) -> None:
    with daemon(lab, env={"PROCROUTE_NO_BPF": "1"}), started(lab, user=ALICE) as hers:
        assert finds(lab) == ["user"]
        assert not at_the_root(lab)
        until(lambda: hers.ask("udp", to=SERVER[4]).router == lab.wan1.wire.node, what="news of her")


@promise("RULE-73")
@pytest.mark.parametrize("strict", ["strict = true", "strict = false"])
def test_an_adapter_that_is_deleted_sends_her_nowhere_else(strict: str) -> None:
    """As a VPN's is when that ends: no route can be opened by it, and hers stays."""
    with Lab(main="both") as lab:
        lab.add(VPN)
        gateways = (f'gateway{f} = "{gateway(lab.uplinks["vpn0"], f)}"' for f in FAMILIES)
        write(lab, rule(f'user = "{ALICE}"', strict, *gateways, way='via = "vpn0"'))
        with daemon(lab) as running, started(lab, user=ALICE) as hers, started(lab, user=BOB) as his:
            for family in FAMILIES:
                assert not astray(lab, hers, "tcp", family, lab.uplinks["vpn0"])
            lab.ip("link del vpn0")
            until(lambda: done(lab, "list")["notes"])
            assert_nowhere(lab, hers)
            assert finds(lab) == ["owner"]
            assert procroute(lab, "reload").returncode == 0
            assert_nowhere(lab, hers)
            running.kill()
            with daemon(lab):
                assert "vpn0" in done(lab, "list")["notes"][0]
                assert_nowhere(lab, hers)
                for family in FAMILIES:
                    assert not astray(lab, his, "tcp", family, lab.wan2)
                done(lab, "disable", f"{FOLDER}/50-test.toml:1")
                assert not astray(lab, hers, "tcp", 4, lab.wan2)
