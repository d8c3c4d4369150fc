"""The code that a root service of this installation would run, and who else could change it. EFFECTS: reads.

A service that runs as root from a folder that a user can write to is that user's way to root.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

from procroute.errors import ProcrouteError
from procroute.rulebook.trusted import DistrustError, check

_DAEMONS: Final = ("procroute.daemon.main", "procroute.holder.__main__", "procroute.engine.look")


def program() -> list[str]:
    """The words before a verb."""
    script = Path(sys.executable).with_name("procroute")
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-m", "procroute"]


def environment() -> dict[str, str]:
    """Without which the program does not find its code."""
    found = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": found} if found else {}


def shipped() -> Path:
    """The folder of the files for systemd. Raises FileNotFoundError."""
    installed = Path(sysconfig.get_path("data"), "share/procroute/systemd")
    source = Path(__file__).parents[2] / "systemd"
    for folder in (installed, source):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(str(installed))


def check_trusted() -> None:
    """Raises ProcrouteError code-distrusted where root must not have it run."""
    if wrong := distrusted():
        raise ProcrouteError(
            "code-distrusted",
            "a root service must not run what others can change: " + "; ".join(wrong[:3]),
            "install procroute where only root can write: sudo python3 -m venv /opt/procroute, and pip there",
        )


def changed_at() -> float:
    """When a file of procroute's own was put there last, in seconds since 1970: its ctime, which nobody sets.

    Byte code is not looked at: whoever imports writes it.
    """
    package = Path(__file__).parents[1]
    return max(file.stat().st_ctime for file in package.rglob("*") if file.suffix in (".py", ".o"))


def distrusted() -> list[str]:
    """Each place of code that others than root could write to, and why: `PATH: it belongs to uid 1000 …`."""
    for name in _DAEMONS:
        import_module(name)
    found = {}
    for path in dict.fromkeys(_places()):
        try:
            check(path)
        except DistrustError as e:
            # What is wrong on the way to many is said once.
            said = str(e)
            found[said if said.startswith("/") else str(path)] = (
                said if said.startswith("/") else f"{path} {said}"
            )
        except FileNotFoundError:
            # What is to be there one day, by whoever can make it.
            continue
    return [*found.values()]


def _places() -> Iterator[Path]:
    yield Path(sys.executable)
    yield from map(Path, program()[:1])
    yield from (Path(entry) for entry in sys.path if entry)
    yield from _files(sys.modules.copy().values())
    yield shipped()


def _files(modules: Iterable[object]) -> Iterator[Path]:
    for module in modules:
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            yield Path(file)
            yield from (Path(file).parent, Path(file).parent / "__pycache__")
