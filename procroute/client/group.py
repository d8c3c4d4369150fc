"""The group whose members may ask the daemon: what keeps somebody out of it, and what helps."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Collection

from procroute.places import GROUP

_JOIN = f"sudo usermod -aG {GROUP} $USER, and log in again"


def hint(has: Collection[int]) -> str:
    """What helps us, who may not ask. has: our groups, which are those that our session began with."""
    try:
        group = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return f"there is no such group: sudo groupadd --system {GROUP}, sudo procroute reload, {_JOIN}"
    if group in has:
        return "the daemon does not know of the group yet: sudo procroute reload"
    if not _is_member(group):
        return _JOIN
    return f"you are in it, but your session is older: log out and in again; for one terminal: newgrp {GROUP}"


def left_out(has: Collection[int]) -> str | None:
    """Why units of our manager will not get a route, and what helps; None: they may ask. has: its groups."""
    try:
        group = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None  # made with the service, or by who runs the daemon
    if group in has or os.geteuid() == 0:
        return None
    if not _is_member(group):
        return f"you are not in the group {GROUP}, and it will not start before you are: {_JOIN}"
    return (
        f"your manager is older than your being in the group {GROUP}: it will not start before you have "
        f"ended all of your sessions and logged in again (or: sudo systemctl restart user@{os.getuid()})"
    )


def _is_member(group: int) -> bool:
    """Whether we are at our next login."""
    try:
        me = pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return group in os.getgrouplist(me.pw_name, me.pw_gid)
