"""The daemon's Unix socket as a file: where it is, and who may connect to it."""

from __future__ import annotations

import grp
import os
import socket
from pathlib import Path

from procroute.engine.words import Tell
from procroute.kernel import files, service_manager
from procroute.kernel.faults import passed
from procroute.places import GROUP


class Listening:
    """A socket at a path, for root and, where there is one, for the group; systemd's, if it has made it."""

    def __init__(self, path: Path, tell: Tell) -> None:
        self._path = path
        self._new = path.with_name(f".{path.name}")
        self._tell = tell
        self._group: int | None = None
        self._given = False

    def open(self) -> socket.socket:
        """The socket, beside its place: whoever finds it there can connect, and nobody else could before.

        Raises OSError.
        """
        if (given := service_manager.given_socket(self._path)) is not None:
            given.setblocking(False)
            self._given = True
            return given
        files.mkdir(self._path.parent, 0o755, parents=True, exist_ok=True)
        files.unlink(self._new, missing_ok=True)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        before = os.umask(0o177)
        try:
            passed("bind", self._new, made.bind, str(self._new))
        finally:
            os.umask(before)
        self._group = _group()
        self._give_to_group(self._new)
        return made

    def show(self) -> None:
        """Have it found, from now on. Raises OSError."""
        if not self._given:
            files.rename(self._new, self._path)

    def hide(self) -> None:
        """Have it found no longer, unless systemd goes on listening. Raises OSError."""
        if not self._given:
            files.unlink(self._path, missing_ok=True)

    def regroup(self) -> list[str]:
        """Look again who is to ask; what has changed, in words. From any thread. Raises OSError.

        Systemd's socket has the group that its unit names.
        """
        if self._given:
            return []
        before, self._group = self._group, _group()
        if self._group == before:
            return []
        if self._group is None:
            os.chmod(self._path, 0o600)
            return [f"there is no group {GROUP} any more: only root may ask"]
        self._give_to_group(self._path)
        return [f"members of the group {GROUP} may ask from now on"]

    def _give_to_group(self, path: Path) -> None:
        if self._group is None:
            how = f"groupadd --system {GROUP}, and then procroute reload"
            self._tell(f"there is no group {GROUP}: only root may ask ({how})")
            return
        os.chown(path, 0, self._group)
        os.chmod(path, 0o660)


def _group() -> int | None:
    """Who may ask besides root."""
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None
