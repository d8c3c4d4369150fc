"""Whether a process has its look-ups done by a daemon, whose packets are the machine's own.

glibc asks nscd where its socket is, and systemd-resolved where nsswitch.conf(5) names `resolve` for hosts,
both over a Unix socket. A target's programs refuse that where the kernel can (bpf/helpers.bpf.c).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from procroute.kernel import programs

# Not by /var/run: where that is a link, as it mostly is, it would lead to our own /run.
_NSCD: Final = "run/nscd/socket"
_RESOLVED: Final = "run/systemd/resolve/io.systemd.Resolve"


def asked_by(pid: int, target: Path) -> str:
    """The one that a process of a target asks first; empty: none, or the target's programs close them."""
    found = next(iter(all_asked_by(pid)), "")
    if not found:
        return ""
    attached = programs.attached(str(target))
    return "" if attached is not None and "helpers" in attached.kinds else found


def all_asked_by(pid: int) -> tuple[str, ...]:
    """nscd, systemd-resolved, both in this order or none, as the process itself sees the file system."""
    root = Path(f"/proc/{pid}/root")
    try:
        found = ["nscd"] if (root / _NSCD).is_socket() else []
        if _names_resolve(root / "etc/nsswitch.conf") and (root / _RESOLVED).is_socket():
            found.append("systemd-resolved")
    except OSError:  # it has ended, or may not be looked at
        return ()
    return tuple(found)


def _names_resolve(nsswitch: Path) -> bool:
    """Whether `resolve` stands in the line of hosts."""
    lines = nsswitch.read_text(errors="replace").splitlines() if nsswitch.is_file() else []
    return any("resolve" in line.split() for line in lines if line.lstrip().startswith("hosts:"))
