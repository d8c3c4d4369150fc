"""systemctl(1) and its like, run to their end. EFFECTS."""

from __future__ import annotations

import os
import subprocess
from typing import Final

from procroute.errors import ProcrouteError

_SECONDS: Final = 120


def present() -> bool:
    """Whether systemd runs this machine (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")


def need(*, user: bool = False) -> None:
    """Raises ProcrouteError systemd-missing where systemd does not run this machine, or not ours.

    user: a manager of our own has to be there, too.
    """
    if user and not {"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"} & {*os.environ}:
        raise ProcrouteError(
            "systemd-missing",
            "no manager of your own can be asked: there is no XDG_RUNTIME_DIR here",
            "as the user himself, logged in, and without sudo; units of the system: without --user",
        )
    if not present():
        raise ProcrouteError(
            "systemd-missing", "systemd does not run this machine", "start `procroute daemon` by what does"
        )


def run(*words: str) -> str:
    """What a command prints that must succeed. Raises ProcrouteError systemd-refused with what it says."""
    done = _done(words)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise ProcrouteError("systemd-refused", f"{' '.join(words)}: {said[0]}", "journalctl -xe tells more")
    return done.stdout


def said(*words: str) -> str:
    """The first line that a command prints, whether it succeeds or not."""
    return (_done(words).stdout.strip().splitlines() or [""])[0]


def _done(words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except FileNotFoundError:
        raise ProcrouteError(
            "systemd-missing", f"there is no {words[0]}", "the service needs systemd"
        ) from None
    except subprocess.TimeoutExpired:
        what = f"{' '.join(words)} has not ended in {_SECONDS} s"
        raise ProcrouteError("systemd-refused", what, "systemctl list-jobs tells what it waits for") from None
