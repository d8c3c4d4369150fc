"""The one sysctl that we may have to change, per adapter; the old value is on disk until it is put back.

src_valid_mark (Documentation/networking/ip-sysctl.rst): the reverse path check looks up with the packet's
mark.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from procroute.identity import RUN_DIRECTORY

_CONF = Path("/proc/sys/net/ipv4/conf")
_UNFINISHED = ":new"  # no adapter's name has a colon (net/core/dev.c, dev_valid_name)


def _saved(namespace: int) -> Path:
    return Path(RUN_DIRECTORY) / "src_valid_mark" / str(namespace)


def rp_filter(adapters: Iterable[str]) -> dict[str, int]:
    """Adapter -> the reverse path check in force for it: the higher one of its own and of all."""
    least = _read(_CONF / "all" / "rp_filter")
    return {adapter: max(least, _read(_CONF / adapter / "rp_filter")) for adapter in adapters}


def changed(namespace: int) -> frozenset[str]:
    """The adapters whose src_valid_mark we have set."""
    return frozenset(name for name in _kept(namespace) if _read(_CONF / name / "src_valid_mark") == 1)


def set_valid_mark(namespace: int, adapter: str) -> None:
    """Set it, keeping the old value on disk first."""
    folder, setting = _saved(namespace), _CONF / adapter / "src_valid_mark"
    folder.mkdir(parents=True, exist_ok=True)
    if adapter not in _kept(namespace):
        new = folder / f"{adapter}{_UNFINISHED}"
        new.write_text(setting.read_text())
        new.rename(folder / adapter)
    setting.write_text("1")


def restore_valid_mark(namespace: int, adapter: str) -> None:
    """Put the old value back; an adapter that is gone needs none."""
    saved, setting = _saved(namespace) / adapter, _CONF / adapter / "src_valid_mark"
    if setting.exists() and saved.exists():
        setting.write_text(saved.read_text())
    saved.unlink(missing_ok=True)


def restore_all(namespace: int, but: Collection[str] = ()) -> None:
    """Put back whatever is kept, also for adapters whose setting somebody changed since, all but those."""
    folder = _saved(namespace)
    if not folder.is_dir():
        return
    for name in _kept(namespace) - set(but):
        restore_valid_mark(namespace, name)
    for unfinished in folder.glob(f"*{_UNFINISHED}"):
        unfinished.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _kept(namespace: int) -> frozenset[str]:
    """The adapters whose old value is on disk."""
    try:
        return frozenset(n for n in os.listdir(_saved(namespace)) if not n.endswith(_UNFINISHED))
    except FileNotFoundError:
        return frozenset()


def _read(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
