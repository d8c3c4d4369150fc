"""Who has left a route, and whom to name."""

from __future__ import annotations

import pytest

from procroute.core.leaving import Member, leaders, outside, remedy, report

OWN = "/procroute.slice/procroute-wan1.slice/run-7.scope"


def member(pid: int, parent: int, cgroup: str = "/elsewhere") -> Member:
    return Member(pid, 10 * pid, parent, cgroup)


@pytest.mark.promise("ESC-01")
@pytest.mark.parametrize(
    ("cgroup", "left"),
    [
        (OWN, False),
        (f"{OWN}/below", False),
        (f"{OWN}x", True),
        ("/procroute.slice", True),
        ("/", True),
        ("/other", False),
        ("/user.slice/user-1000.slice/session-3.scope", True),
    ],
)
def test_outside_is_what_is_in_no_routes_cgroup(cgroup: str, left: bool) -> None:
    found = member(2, 1, cgroup)
    assert outside([found], OWN, lambda c: c == "/other") == ([found] if left else [])


@pytest.mark.promise("ESC-01")
def test_who_is_born_outside_is_counted_with_whom_it_descends_from() -> None:
    left = [member(2, 1), member(3, 2), member(4, 3), member(5, 1)]
    assert leaders(left) == [left[0], left[3]]
    assert report(left, ()) == [(left[0], 2), (left[3], 0)]


@pytest.mark.promise("ESC-01")
def test_each_is_named_once_and_a_number_used_again_is_another() -> None:
    left = [member(2, 1), member(5, 1)]
    assert report(left, {(2, 20)}) == [(left[1], 0)]
    assert report(left, {(2, 19), (5, 50)}) == [(left[0], 0)]


@pytest.mark.promise("ESC-01")
def test_a_circle_that_was_read_from_a_changing_tree_is_no_trouble() -> None:
    assert report([member(2, 3), member(3, 2)], ()) == []


@pytest.mark.promise("ESC-01")
@pytest.mark.parametrize(
    ("cgroup", "slice_name", "of_user", "works"),
    [
        ("/x", "procroute-wan1.slice", False, "systemd-run --scope --slice=procroute-wan1.slice CMD"),
        ("/x", "procroute-wan1.slice", True, "systemd-run --user --scope --slice=procroute-wan1.slice CMD"),
        ("/x", r"procroute-a\x7eb.slice", False, r"systemd-run --scope --slice='procroute-a\x7eb.slice' CMD"),
        ("/user.slice/user-7.slice/session-c2.scope", "s", False, "procroute run --user NAME -- CMD"),
        ("/user.slice/user-7.slice/session-2.scope/x", "s", True, "procroute run --user NAME -- CMD"),
        ("/session-2.scopes", "s", True, "systemd-run --user --scope --slice=s CMD"),
    ],
)
def test_what_would_have_kept_it(cgroup: str, slice_name: str, of_user: bool, works: str) -> None:
    assert remedy(cgroup, slice_name, of_user=of_user).endswith(f"stays: {works}")
