"""Users' own systemd managers, spoken to as the user: their buses refuse everybody else, root included.

<mount>/user.slice/user-1000.slice/user@1000.service/procroute.slice/procroute-wan1.slice
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from procroute.errors import ProcrouteError
from procroute.kernel import cgroup_mount, cgroups

TREE: Final = "user.slice/user-{0}.slice/user@{0}.service"
_UID: Final = re.compile(r"/user\.slice/user-(\d+)\.slice/user@\1\.service/")
_SLICE: Final = re.compile(r"/user\.slice/user-(\d+)\.slice/")
_SEPARATOR: Final = "\0"


def owner(path: Path) -> int | None:
    """Whose manager made a cgroup; None: that of the system."""
    found = _UID.search(str(path))
    return int(found[1]) if found else None


def tree_of(cgroup: str) -> int:
    """The user in whose part of the tree a cgroup (from the mount point) is; 0: root's, nobody's."""
    found = _SLICE.match(cgroup)
    return int(found[1]) if found else 0


def slice_of(uid: int) -> str:
    """A user's part of the tree, from the mount point."""
    return f"/user.slice/user-{uid}.slice"


def leaf(uid: int) -> str:
    """The one cgroup in a user's part of the tree that is there as long as his manager is."""
    return f"/{TREE.format(uid)}/init.scope"


def runs(uid: int) -> bool:
    """Whether a user's manager runs, and can be asked (user@.service(5), pam_systemd(8))."""
    path = address(uid).partition("=")[2]
    return os.path.exists(path) and bool(as_user(uid, lambda: "it does" if _listened_to(path) else ""))


def _listened_to(path: str) -> bool:
    """Whether somebody listens: the socket's file stays when a manager is stopped."""
    with socket.socket(socket.AF_UNIX) as trial:
        trial.setblocking(False)
        try:
            trial.connect(path)
        except BlockingIOError:
            pass  # more are waiting than are taken at a time
        except OSError:
            return False
    return True


def groups(uid: int) -> frozenset[int] | None:
    """The groups that a user's manager gives to its units: those that he had when it was started.

    None: it does not run, or is not seen.
    """
    place = cgroup_mount.find().path / leaf(uid).lstrip("/")
    for pid, _ in cgroups.processes(place) if place.exists() else ():
        try:
            lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
        except OSError:
            continue
        said = dict(line.split(":", 1) for line in lines if line.startswith(("Gid:", "Groups:")))
        return frozenset(int(group) for words in said.values() for group in words.split())
    return None


def address(uid: int) -> str:
    """The D-Bus address of a user's bus."""
    return f"unix:path=/run/user/{uid}/bus"


def as_user(uid: int, work: Callable[[], str]) -> str:
    """What `work` returns, a text without NUL, in a child that is this user.

    Raises the ProcrouteError that it raises, and systemd-silent for whatever else went wrong there.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(uid, work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode(errors="replace").split(_SEPARATOR)
    os.waitpid(pid, 0)
    if said[0] == "done":
        return said[1]
    raise ProcrouteError(*said[:3]) if len(said) >= 3 else ProcrouteError("systemd-silent", "no answer")


def _child(uid: int, work: Callable[[], str], report: int) -> NoReturn:
    """Groups do not matter: a bus looks at the uid alone (D-Bus specification, EXTERNAL)."""
    words = ["systemd-silent", f"the manager of user {uid} cannot be asked", ""]
    try:
        group = os.stat(f"/run/user/{uid}").st_gid
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(uid, uid, uid)
        words = ["done", work()]
    except ProcrouteError as e:
        words = [e.code, e.message, e.hint]
    except BaseException as e:  # noqa: BLE001 - it is told, and nothing runs on
        words[2] = repr(e)
    finally:
        os.write(report, _SEPARATOR.join(words).encode(errors="replace"))
        os._exit(0)
