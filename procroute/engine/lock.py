"""One writer at a time: a lock in /run/procroute that goes with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from _thread import allocate_lock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.identity import RUN_DIRECTORY
from procroute.kernel import files
from procroute.kernel.faults import passed

Pause = Callable[[float], None]
# Who waits has a turn: of the threads of this process none comes again before all others have.
_turn = allocate_lock()
# A start or an end takes a small part of a second; who has to wait longer wants to know for what.
_LONG = 2.0
# How often the folder may vanish between making it and opening the lock in it: others end a route there.
_GONE_AT_MOST = 10_000


def patient(tell: Tell, sleep: Pause = time.sleep) -> Pause:
    """A pause for lock() that says once, when it has become long, what is waited for."""
    left = _LONG

    def pause(seconds: float) -> None:
        nonlocal left
        if 0 < left <= seconds:
            tell(f"waiting for another procroute, which holds {RUN_DIRECTORY}/lock")
        left -= seconds
        sleep(seconds)

    return pause


class BusyError(Exception):
    """Somebody else has the lock; the command's signals cannot wait for that."""


def at_once(_: float) -> None:
    """A pause for lock() that does not wait: raises BusyError."""
    raise BusyError


@contextmanager
def lock(pause: Pause = time.sleep) -> Iterator[int]:
    """Hold the lock; waits for whoever has it. Gives its descriptor: a forked child holds it, too, and has to
    close that.

    pause: lets so many seconds pass; what it raises ends the wait.

    The folder is removed with the last route (see release_directory), so the file that was locked may be
    gone.
    """
    path = Path(RUN_DIRECTORY) / "lock"
    gone = 0
    while True:
        try:
            descriptor = _open(path)
        except FileNotFoundError as e:
            gone += 1
            if gone == _GONE_AT_MOST:
                raise ProcrouteError("run-directory", f"{path} cannot be made: {e.strerror}") from e
            continue
        except PermissionError as e:
            raise ProcrouteError("not-root", f"{RUN_DIRECTORY} cannot be written", "run it as root") from e
        except OSError as e:
            raise ProcrouteError("run-directory", f"{path} cannot be made: {e.strerror}") from e
        try:
            with _in_turn(pause):
                _wait(descriptor, pause)
        except BaseException:
            os.close(descriptor)
            raise
        if _is_still(path, descriptor):
            break
        os.close(descriptor)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open the lock's file, in its folder, and make both where they are missing. Raises OSError."""
    made = False
    # Not exist_ok: the folder that was there may be gone when that looks what it was.
    with contextlib.suppress(FileExistsError):
        files.mkdir(path.parent, 0o755, parents=True)
        made = True
    try:
        descriptor: int = passed("open", path, os.open, path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        if made:
            with contextlib.suppress(OSError):  # somebody else has made his file in it
                files.rmdir(path.parent)
        raise
    return descriptor


@contextmanager
def _in_turn(pause: Pause) -> Iterator[None]:
    """Be the one thread of this process that waits. A lock of the kernel's knows no turns (flock(2))."""
    while not _turn.acquire(timeout=0.001):
        pause(0.001)
    try:
        yield
    finally:
        _turn.release()


def _wait(descriptor: int, pause: Pause) -> None:
    """Asks again and again, so that signals are attended to meanwhile."""
    seconds = 0.001
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pause(seconds)
            seconds = min(2 * seconds, 0.02)
        else:
            return


def release_directory() -> None:
    """Remove the lock and its folder, as the last thing under it, when nothing else is kept there.

    Once the lock's file is gone another one may make it anew, and be at work before the folder is removed.
    """
    with contextlib.suppress(FileNotFoundError):
        _release(Path(RUN_DIRECTORY))


def _release(directory: Path) -> None:
    before = directory / "src_valid_mark"
    if before.is_dir() and not any(before.iterdir()):
        files.rmdir(before)
    if [f.name for f in directory.iterdir()] == ["lock"]:
        files.unlink(directory / "lock")
        try:
            files.rmdir(directory)
        except OSError as e:
            # Busy: in a unit's sandbox its RuntimeDirectory= is a mount point.
            if e.errno not in (errno.ENOTEMPTY, errno.EBUSY):
                raise


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
