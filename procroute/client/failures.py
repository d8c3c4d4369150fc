"""What can go wrong between a client and the daemon, with what helps."""

from __future__ import annotations

import errno
import os

from procroute.errors import ProcrouteError

_START = "start it: sudo procroute daemon; or by systemd, from boot on: sudo procroute service install"
_LOG = "its log may tell why: its stderr, or journalctl -u procrouted"


def unreachable(path: str, problem: OSError) -> ProcrouteError:
    """Why there is no connection (unix(7), connect(2)): daemon-missing or not-permitted."""
    if problem.errno == errno.ENOENT:
        return ProcrouteError("daemon-missing", f"no procrouted runs: there is no {path}", _START)
    if problem.errno == errno.ECONNREFUSED:
        return ProcrouteError("daemon-missing", f"procrouted has ended: nobody listens at {path}", _START)
    if problem.errno in {errno.EACCES, errno.EPERM}:
        return ProcrouteError(
            "not-permitted",
            f"{path} may be used by root and by members of the group procroute only",
            _hint(),
        )
    why = os.strerror(problem.errno) if problem.errno else str(problem)
    return ProcrouteError("daemon-missing", f"procrouted cannot be reached by {path}: {why}", _START)


def _hint() -> str:
    from procroute.client import group

    return group.hint({os.getegid(), *os.getgroups()})


def silent(seconds: float) -> ProcrouteError:
    """Nothing came for so long."""
    return ProcrouteError("daemon-silent", f"procrouted has not answered within {seconds:g} s", _LOG)


def lost() -> ProcrouteError:
    """The connection ended while something was to come. What was asked for may have been done."""
    return ProcrouteError("daemon-lost", "procrouted has closed the connection", _LOG)


def too_large(size: int, limit: int) -> ProcrouteError:
    """A request that the daemon would not read. size and limit: bytes."""
    return ProcrouteError(
        "frame-too-large",
        f"the request has {size} bytes, and {limit} is the most that procrouted reads",
        "ask for less at a time",
    )


def flood(size: int) -> ProcrouteError:
    """A frame that nobody of ours would send, so what follows cannot be understood either."""
    return ProcrouteError("protocol", f"an answer of {size} bytes: this is not procrouted's socket")


def other_version(theirs: int, ours: int) -> ProcrouteError:
    """An answer in another version of the protocol."""
    return ProcrouteError(
        "protocol-version",
        f"procrouted speaks version {theirs} of the protocol, and this procroute version {ours}",
        "restart procrouted after an upgrade",
    )
