"""The one sysctl that we may have to change, per adapter; the old value is on disk until it is put back.

src_valid_mark (Documentation/networking/ip-sysctl.rst): the reverse path check looks up with the packet's
mark. It is kept by ifindex, since the setting goes with the adapter when that gets another name.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from procroute.identity import RUN_DIRECTORY
from procroute.kernel import adapters, files

_CONF = Path("/proc/sys/net/ipv4/conf")
_UNFINISHED = ":new"


def _saved(namespace: int) -> Path:
    return Path(RUN_DIRECTORY) / "src_valid_mark" / str(namespace)


def rp_filter(adapters: Iterable[str]) -> dict[str, int]:
    """Adapter -> the reverse path check in force for it: the higher one of its own and of all."""
    least = _read(_CONF / "all" / "rp_filter")
    return {adapter: max(least, _read(_CONF / adapter / "rp_filter")) for adapter in adapters}


def changed(namespace: int) -> frozenset[str]:
    """The adapters, by their present names, whose src_valid_mark we have set."""
    return frozenset(
        name for name in _kept(namespace).values() if name and _read(_CONF / name / "src_valid_mark") == 1
    )


def set_valid_mark(namespace: int, adapter: str) -> None:
    """Set it, keeping the old value on disk first. Raises OSError, also where the adapter is gone."""
    folder, setting = _saved(namespace), _CONF / adapter / "src_valid_mark"
    ifindex = socket.if_nametoindex(adapter)
    files.mkdir(folder, parents=True, exist_ok=True)
    if ifindex not in _kept(namespace):
        new = folder / f"{ifindex}{_UNFINISHED}"
        files.write(new, setting.read_text())
        files.rename(new, folder / str(ifindex))
    files.write(setting, "1")


def restore_valid_mark(namespace: int, adapter: str) -> None:
    """Put the old value back; an adapter that is gone needs none."""
    for ifindex, name in _kept(namespace).items():
        if name == adapter:
            _restore(namespace, ifindex, name)


def restore_all(namespace: int, but: Collection[str] = ()) -> None:
    """Put back whatever is kept, also for adapters whose setting somebody changed since, all but those."""
    folder = _saved(namespace)
    if not folder.is_dir():
        return
    for ifindex, name in _kept(namespace).items():
        if name not in but:
            _restore(namespace, ifindex, name)
    for unfinished in folder.glob(f"*{_UNFINISHED}"):
        files.unlink(unfinished)
    if not any(folder.iterdir()):
        files.rmdir(folder)


def _restore(namespace: int, ifindex: int, name: str) -> None:
    saved, setting = _saved(namespace) / str(ifindex), _CONF / name / "src_valid_mark"
    if name and setting.exists():
        files.write(setting, saved.read_text())
    files.unlink(saved, missing_ok=True)


def _kept(namespace: int) -> Mapping[int, str]:
    """The adapters whose old value is on disk: ifindex -> present name, empty for one that is gone."""
    try:
        kept = [int(n) for n in os.listdir(_saved(namespace)) if n.isdecimal()]
    except FileNotFoundError:
        return {}
    return {ifindex: adapters.name_of(ifindex) for ifindex in kept}


def _read(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
