"""Changes of files and folders, those of cgroups, sysctls and extended attributes among them.

Each passes the fault hook (faults.py). All raise OSError.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from procroute.kernel.faults import passed


def mkdir(path: Path, mode: int = 0o755, *, parents: bool = False, exist_ok: bool = False) -> None:
    """Make a folder, as Path.mkdir, but with this mode whatever the umask; one that is there keeps its."""
    try:
        passed("mkdir", path, path.mkdir, mode, parents)
    except FileExistsError:
        if not (exist_ok and path.is_dir()):
            raise
    else:
        path.chmod(mode)


def rmdir(path: Path) -> None:
    """Remove an empty folder, or a cgroup."""
    passed("rmdir", path, path.rmdir)


def unlink(path: Path, *, missing_ok: bool = False) -> None:
    """Remove a file."""
    try:
        passed("unlink", path, path.unlink)
    except FileNotFoundError:
        if not missing_ok:
            raise


def rename(path: Path, to: Path) -> None:
    """Give a file another name; one of that name is replaced."""
    passed("rename", to, os.replace, path, to)


def write(path: Path, text: str | bytes) -> None:
    """Replace the content of a file, or set a sysctl."""
    passed("write", path, path.write_text if isinstance(text, str) else path.write_bytes, text)


def replace(path: Path, text: str | bytes, mode: int | None = None) -> None:
    """All of a file or nothing: who dies meanwhile leaves the old one. A folder that is missing is made.

    mode: its permissions, whatever the umask.
    """
    mkdir(path.parent, 0o755, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        write(new, text)
        if mode is not None:
            new.chmod(mode)
        rename(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            unlink(new, missing_ok=True)
        raise


def put(descriptor: int, text: str, about: object) -> None:
    """Write to an open file at once; about: its path."""
    passed("write", about, os.write, descriptor, text.encode())


def set_attribute(path: Path, name: str, value: bytes) -> None:
    """Set an extended attribute (setxattr(2))."""
    passed("setxattr", path, os.setxattr, path, name, value)


def remove_attribute(path: Path, name: str) -> None:
    """Remove an extended attribute."""
    passed("removexattr", path, os.removexattr, path, name)
