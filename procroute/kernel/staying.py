"""A process that stays for as long as it is where it was put. EFFECTS: waits."""

from __future__ import annotations

import select

from procroute.kernel import cgroup_mount, cgroups


def stay() -> None:
    """Return when this process is moved out of its cgroup, which it must have for itself.

    Source: cgroup-v2.rst, cgroup.events, by poll(2). Raises ProcrouteError cgroup-missing, OSError.
    """
    mount = cgroup_mount.find()
    own = mount.path / mount.of("self").lstrip("/")
    with open(own / "cgroup.events", "rb") as events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while cgroups.populated(own):
            poll.poll()
            events.seek(0)
            events.read()  # or poll returns at once again
