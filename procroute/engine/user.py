"""Running a command as somebody else."""

from __future__ import annotations

import os
import pwd

from msgspec import Struct

from procroute.errors import ProcrouteError


class User(Struct, frozen=True):
    """Whom a command runs as. groups: the supplementary ones."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str

    def environment(self) -> dict[str, str]:
        """What runuser(1) sets too."""
        return {"HOME": self.home, "SHELL": self.shell, "USER": self.name, "LOGNAME": self.name}

    def become(self) -> None:
        """Groups before the uid, since root alone may set them (setgroups(2))."""
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)


def find(name: str) -> User:
    """The user of a name or number. Raises ProcrouteError user-unknown."""
    try:
        by_number = name.isascii() and name.isdecimal()
        entry = pwd.getpwuid(int(name)) if by_number else pwd.getpwnam(name)
    # The last two: more digits than a uid has, and than Python takes for a number.
    except (KeyError, OverflowError, ValueError) as e:
        raise ProcrouteError("user-unknown", f"there is no user {name}", "getent passwd lists them") from e
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return User(
        entry.pw_name, entry.pw_uid, entry.pw_gid, tuple(groups), entry.pw_dir, entry.pw_shell or "/bin/sh"
    )
