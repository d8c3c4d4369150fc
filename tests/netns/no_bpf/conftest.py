"""Modules of tests/netns once more, in labs without cgroup BPF: each test_again_… takes in all tests of one.

Left out: what shows that a program which is switched off would be missed. What only holds with BPF must be
seen to fail, under the limit (core/limits.py) that says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from procroute.lab import Lab
from tests.netns.inhabitants import Command, routed

BUT: Final[Mapping[str, Mapping[str, str]]] = {
    "test_paths": {
        r"it_leaves_by_the_adapter\[main=none": "no-bpf-main",
        r"lets_answers_in\[.*none": "no-bpf-main",
    },
    "test_paths_lan": {r"strict_holds_for_bound": "no-bpf-tied"},
    "test_paths_families": {
        r"unreachable_at_once\[v4-only-tcp": "no-bpf-words",
        r"unreachable_at_once\[v[46]-only-ping": "no-bpf-words",
        r"nothing_leaves_by_the_uplinks_below": "no-bpf-tied",
    },
    "test_dns": {
        r"server_of_one_family_is_asked_for_both": "no-bpf-resolvers",
        r"what_no_server_can_answer": "no-bpf-words",
    },
    "test_failover": {
        r"without_a_default_in_main": "no-bpf-main",
        r"where_none_is_left": "no-bpf-words",
        r"several_that_block": "no-bpf-words",
        r"connections_go_on": "no-bpf-failover",
        r"connections_are_ended": "no-bpf-failover",
    },
    "test_dns_servers": {
        r"given_server_that_is_this_machine": "no-bpf-resolvers",
        r"adapters_own_servers_are_known": "no-bpf-resolvers",
        r"machine_without_name_servers": "no-bpf-words",
        r"where_look_ups_would_leave_past": "no-bpf-words",
    },
    "test_dns_local": {
        r"link_local_resolver_is_not_asked\[.*wan2": "no-bpf-resolvers",
        r"link_local_resolver_is_not_asked\[sent-wan1-IPv4": "no-bpf-resolvers",
    },
    "test_dns_helpers": {},
    "test_dns_sources": {
        r"other_servers_are_followed": "no-bpf-servers",
        r"network_managers_are_followed": "no-bpf-servers",
        r"servers_that_come_later_end_the_refusal": "no-bpf-words",
    },
    "test_guard_servers": {
        r"cannot_write_to_those_who_did_not_call": "no-bpf-tied",
        r"having_been_called_opens_no_door": "no-bpf-tied",
    },
    "test_guard_source_routes": {},
    "test_feed": {},
    "test_feed_traffic": {
        r"what_was_captured_is_told": "no-bpf-counting",
        r"new_assignments_are_counted": "no-bpf-counting",
        r"killed_it_leaves_nothing": "no-bpf-counting",
    },
    "test_inspect": {},
    "test_bystanders": {},
    "test_many_runs": {},
    "test_health": {},
}
"""Module -> the tests of it that only hold with BPF -> the limit."""
_SWITCHED_OFF: Final = re.compile(r"test_without|_share_nothing_|would_show")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is switched off; expect what cannot be promised to fail."""
    gone = [i for i in items if i.path.stem.startswith("test_again") and _SWITCHED_OFF.search(i.name)]
    items[:] = [i for i in items if i not in gone]
    if gone:
        config.hook.pytest_deselected(items=gone)
    for item in items:
        for pattern, limit in BUT.get(item.path.stem.replace("_again", "", 1), {}).items():
            if item.path.stem.startswith("test_again") and re.search(pattern, item.name):
                item.add_marker(pytest.mark.xfail(reason=limit, strict=True, raises=AssertionError))


@pytest.fixture(scope="module", autouse=True)
def no_bpf() -> Iterator[None]:
    """Labs and commands of these modules are started without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROCROUTE_NO_BPF", "1")
        yield


@pytest.fixture
def command() -> Iterator[Command]:
    """A command by wan1 on a machine that prefers wan2."""
    with Lab(main="both") as lab, routed(lab) as command:
        yield command
