"""How cgroups are called in /proc and where they are seen, for mounts that show a part of the tree only."""

from __future__ import annotations

from pathlib import Path

import pytest

from procroute.kernel.cgroup_mount import CgroupMount

promise = pytest.mark.promise
WHOLE = CgroupMount(Path("/sys/fs/cgroup"))
PART = CgroupMount(Path("/run/part"), "/sub/tree")
ABOVE = CgroupMount(Path("/sys/fs/cgroup"), "/../..")
"""Made before the reader went to a cgroup namespace of his own."""


@promise("CGROUP-02")
@pytest.mark.parametrize(
    ("mount", "path", "name"),
    [
        (WHOLE, "/sys/fs/cgroup", "/"),
        (WHOLE, "/sys/fs/cgroup/a.slice/b", "/a.slice/b"),
        (PART, "/run/part", "/sub/tree"),
        (PART, "/run/part/a.slice", "/sub/tree/a.slice"),
        (ABOVE, "/sys/fs/cgroup", "/../.."),
        (ABOVE, "/sys/fs/cgroup/a.slice", "/../../a.slice"),
    ],
)
def test_the_name_in_proc_and_back(mount: CgroupMount, path: str, name: str) -> None:
    assert mount.in_proc(Path(path)) == name
    below = mount.below(name)
    assert below is not None
    assert mount.path / below.lstrip("/") == Path(path)


@promise("CGROUP-02")
@pytest.mark.parametrize(
    ("mount", "name"),
    [
        (PART, "/"),
        (PART, "/sub"),
        (PART, "/sub/tree2"),
        (PART, "/procroute.slice/procroute-wan1.slice"),
        (WHOLE, "/../procroute.slice"),
        (ABOVE, "/"),
        (ABOVE, "/procroute.slice"),
        (ABOVE, "/../procroute.slice"),
    ],
)
def test_what_cannot_be_seen_there_is_none_of_it(mount: CgroupMount, name: str) -> None:
    assert mount.below(name) is None
