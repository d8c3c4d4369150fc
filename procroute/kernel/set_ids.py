"""Whose a process becomes by executing a file that says so (execve(2), set-user-ID and set-group-ID).

As the kernel judges it (linux, fs/exec.c, bprm_fill_uid). Who is traced by somebody without privileges keeps
his own ids, which is not looked at here. Imports little.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

KEPT: Final = -1
"""Instead of an id: it stays what it is."""
_ELF: Final = b"\x7fELF"


def set_ids(file: int, pid: int) -> tuple[int, int]:
    """The effective uid and gid of a process when it has executed a file, each KEPT where it stays.

    file: a descriptor of it, which tells by which mount it is executed. Raises OSError: it has ended.
    """
    found = os.fstat(file)
    by_user = bool(found.st_mode & stat.S_ISUID)
    by_group = found.st_mode & (stat.S_ISGID | stat.S_IXGRP) == stat.S_ISGID | stat.S_IXGRP
    if not (by_user or by_group) or os.fstatvfs(file).f_flag & os.ST_NOSUID:
        return KEPT, KEPT
    if os.pread(file, len(_ELF), 0) != _ELF:
        return KEPT, KEPT  # of a script the interpreter's counts
    process = Path(f"/proc/{pid}")
    mapped = _mapped(process / "uid_map", found.st_uid) and _mapped(process / "gid_map", found.st_gid)
    if not mapped or _no_new_privileges(process):
        return KEPT, KEPT
    return found.st_uid if by_user else KEPT, found.st_gid if by_group else KEPT


def _mapped(path: Path, number: int) -> bool:
    """Whether an id, as it is in the first user namespace, where fanotify has to be used, is one in a
    process's (user_namespaces(7))."""
    lines = (tuple(map(int, line.split())) for line in path.read_text().splitlines())
    return any(first <= number < first + count for _, first, count in lines)


def _no_new_privileges(process: Path) -> bool:
    """PR_SET_NO_NEW_PRIVS, which cannot be taken back (prctl(2))."""
    lines = process.joinpath("status").read_bytes().splitlines()
    return next((line.split()[1] for line in lines if line.startswith(b"NoNewPrivs:")), b"0") != b"0"
