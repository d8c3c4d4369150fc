"""Who may ask for what."""

from __future__ import annotations

import pytest

from procroute import config
from procroute.core.access import Asked, Peer, check_process, check_route, doubts
from procroute.errors import ProcrouteError
from procroute.model import Allowed

promise = pytest.mark.promise
ALICE, BOB, ROOT = Peer(1000, 5, "alice"), Peer(1001, 6, "bob"), Peer(0, 7, "root")
RULES = {"alice": Allowed(("wan1",), gateway=False, dns=False), "*": Allowed(("wan1", "wan2"))}


@promise("ACCESS-01")
@pytest.mark.parametrize(
    ("peer", "asked", "why"),
    [
        (ALICE, Asked(["wan1"], gateway=False, dns=False), ""),
        (ALICE, Asked(["uplink", "wan1"], gateway=False, dns=False), ""),
        (ALICE, Asked(["wan2"], gateway=False, dns=False), "you may not use wan2; yours: wan1"),
        (ALICE, Asked(["wan1"], gateway=True, dns=False), "gateway"),
        (ALICE, Asked(["wan1"], gateway=False, dns=True), "name servers"),
        (BOB, Asked(["wan2"], gateway=True, dns=True), ""),
        (BOB, Asked(["wg0"], gateway=False, dns=False), "wg0"),
        (ROOT, Asked(["wg0"], gateway=True, dns=True), ""),
    ],
)
def test_config_narrows_what_users_may_have(peer: Peer, asked: Asked, why: str) -> None:
    if not why:
        check_route(RULES, peer, asked)
        return
    with pytest.raises(ProcrouteError, match=why) as refused:
        check_route(RULES, peer, asked)
    assert refused.value.code == "not-permitted"
    assert "access" in refused.value.hint


@promise("ACCESS-02")
@pytest.mark.parametrize("uids", [(1000, 0, 0), (1000, 1000, 0), (0, 1000, 1000), (1001, 1001, 1001)])
def test_a_user_moves_only_what_is_his_alone(uids: tuple[int, int, int]) -> None:
    """A set-uid program is not: it would send by his choice with another's rights."""
    check_process(ALICE, 9, (1000, 1000, 1000))
    check_process(ROOT, 9, uids)
    with pytest.raises(ProcrouteError) as refused:
        check_process(ALICE, 9, uids)
    assert refused.value.code == "not-permitted"
    assert refused.value.message == f"process 9 is not yours{' alone' if 1000 in uids else ''}"


@promise("ACCESS-01")
def test_the_configuration_says_it() -> None:
    text = '[access.alice]\nadapters = ["wan1"]\ngateway = false\n[access."*"]\nadapters = []\n'
    assert config.parse(text, "f").access == {
        "alice": Allowed(("wan1",), gateway=False),
        "*": Allowed(()),
    }


@promise("ACCESS-01")
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("access = 1", "access must be a table"),
        ("[access]\nalice = 1", "access.alice must be a table"),
        ('[access.alice]\nadapter = ["wan1"]', "access.alice.adapter"),
        ('[access.alice]\nadapters = "wan1"', "access.alice"),
        ("[access.alice]\ngateway = 1", "access.alice"),
    ],
)
def test_what_makes_no_sense_there_is_refused(text: str, what: str) -> None:
    with pytest.raises(ProcrouteError, match=what) as refused:
        config.parse(text, "f")
    assert refused.value.code == "config-bad"


@promise("DAEMON-12")
def test_names_that_nothing_has_are_told() -> None:
    access = {
        "alice": Allowed(adapters=("wan1", "wan9")),
        "carol": Allowed(),
        "*": Allowed(adapters=("uplink",)),
    }
    assert doubts(access, lambda name: name == "alice", {"wan1", "uplink"}) == [
        "[access.alice]: there is no adapter wan9 now",
        "[access.carol]: there is no user carol",
    ]
