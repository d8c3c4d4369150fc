"""Becomes the holder: `python -S -s -m procroute.holder`, as link.py starts it.

The process that is started ends with 0 when the daemon can connect, or when there is a holder already; the
holder is its child, in a session of its own, and belongs to nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import socket
import sys
from ctypes import c_int
from pathlib import Path
from typing import Final

from procroute.holder.holder import Holder
from procroute.holder.report import Report
from procroute.kernel.libc import call
from procroute.kernel.urgency import urgent
from procroute.places import HOLD_LOCK, HOLD_SOCKET, RUN_DIRECTORY
from procroute.told import ERROR, told

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # mlockall(2)
_MOST_FILES: Final = 1 << 17
_NICE: Final = -20


def main() -> int:
    """The exit status of the process that was started; the holder itself never returns from here."""
    lock = _alone()
    if lock is None:
        return 0
    listener = _listen()
    report = Report()
    _favour()
    try:
        holder = Holder(listener, report)
    except OSError as e:
        os.write(1, str(e).encode(errors="replace"))  # to who started it
        return 1
    if os.fork():
        return 0
    status = 1
    try:
        os.dup2(0, 1)  # who started it waits for the end of what is said there
        os.setsid()
        os.chdir("/")
        _stay_in_memory()
        with urgent():  # a nice value counts only within the same cgroup or session (sched(7), autogroup)
            holder.live()
        status = 0
    except Exception as e:  # noqa: BLE001 - who starts the next one has to know why
        report.say(told(f"ended by a fault: {e!r}", ERROR))
    finally:
        with contextlib.suppress(OSError):
            for path in (HOLD_SOCKET, HOLD_LOCK):
                os.unlink(path)
            os.rmdir(RUN_DIRECTORY)
        os._exit(status)


def _alone() -> int | None:
    """The lock that says so, as long as it is open; None: there is a holder."""
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(RUN_DIRECTORY)
            os.chmod(RUN_DIRECTORY, 0o755)
        try:
            lock = os.open(HOLD_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # somebody else has removed the folder
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.stat(HOLD_LOCK), os.fstat(lock)):
                return lock
        except BlockingIOError:
            os.close(lock)
            return None
        except FileNotFoundError:
            pass
        os.close(lock)


def _listen() -> socket.socket:
    Path(HOLD_SOCKET).unlink(missing_ok=True)  # of one that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    try:
        listener.bind(HOLD_SOCKET)
    finally:
        os.umask(before)
    listener.listen(8)
    return listener


def _favour() -> None:
    """Others wait for us: go before them, and be killed after them. Refused in some containers."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000")
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (_MOST_FILES, most):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, most)))
            return


def _stay_in_memory() -> None:
    """What has been used stays: to be read from a disk again takes long when memory is short."""
    with contextlib.suppress(OSError):
        call("mlockall", c_int(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT))


if __name__ == "__main__":
    sys.exit(main())
