"""What cgroups send and get, counted while somebody wants to know: bytes with IP headers, but over loopback.

with closing(Meters()) as meters:
    meters.add(3, "/sys/fs/cgroup/procroute.slice/procroute-wan1.slice/run-4711.scope")
    meters.read()                      # {3: (received, sent)}

The programs (bpf/meter.bpf.c) are held by links: they go with the descriptors, and so with who counts,
however that ends. Packets that the kernel handles as one (GSO) have one header. A guard above runs later:
what it drops is counted as sent.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import Final

from procroute.errors import ProcrouteError
from procroute.kernel import libbpf
from procroute.kernel.bpf import objects
from procroute.kernel.bpf.catalogue import object_path
from procroute.kernel.bpf.support import switched_off

# enum bpf_attach_type: BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS
_IN, _OUT = 0, 1
_PLACE: Final = struct.Struct("=QI4x")  # struct bpf_cgroup_storage_key
_COUNT: Final = struct.Struct("=Q")


class Meters:
    """For one thread at a time. Keys are those of whoever counts."""

    def __init__(self) -> None:
        """Raises OSError or ProcrouteError where the kernel, or what is missing, does not let us."""
        with contextlib.ExitStack() as undo:
            self._object = undo.enter_context(objects.Object(object_path("meter")))
            self._object.load()
            self._carried = self._object.map("carried", _PLACE.size, _COUNT.size)
            self._programs = {_OUT: self._object.program("pr_sent"), _IN: self._object.program("pr_received")}
            undo.pop_all()
        self._links: dict[int, tuple[int, list[int]]] = {}

    def add(self, key: int, path: Path) -> None:
        """Count what sockets of a cgroup, and of those below it, send and get from now on. Raises OSError."""
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        links: list[int] = []
        try:
            cgroup = os.fstat(directory).st_ino
            for hook, program in self._programs.items():
                links.append(libbpf.attach_while_open(program, directory, hook))
        except OSError:
            _close(links)
            raise
        finally:
            os.close(directory)
        self.drop(key)
        self._links[key] = cgroup, links

    def drop(self, key: int) -> None:
        """Count it no longer; one that is not counted is fine."""
        _, links = self._links.pop(key, (0, []))
        _close(links)

    def read(self) -> dict[int, tuple[int, int]]:
        """Bytes received and sent since each was added. Raises OSError."""
        return {
            key: (self._bytes(cgroup, _IN), self._bytes(cgroup, _OUT))
            for key, (cgroup, _) in self._links.items()
        }

    def close(self) -> None:
        """Count nothing any more."""
        for key in list(self._links):
            self.drop(key)
        self._object.close()

    def _bytes(self, cgroup: int, hook: int) -> int:
        each = self._carried.get_each(_PLACE.pack(cgroup, hook))
        return sum(count for (count,) in _COUNT.iter_unpack(each))


def _close(links: list[int]) -> None:
    for link in links:
        os.close(link)


def meters() -> Meters | None:
    """None where that cannot be had, or BPF is not wanted."""
    if switched_off():
        return None
    try:
        return Meters()
    except (OSError, ProcrouteError):
        return None
