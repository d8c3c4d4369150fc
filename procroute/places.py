"""Where files are that several parts speak of. Imports nothing: a quick run needs some of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CONFIG_FILE: Final = "/etc/procroute/config.toml"
RUN_DIRECTORY: Final = "/run/procroute"
"""Of the lock, the daemon's socket and state, old values of sysctls. Goes with the machine's next start."""
SOCKET: Final = "/run/procroute/procroute.sock"
"""Where the daemon listens."""
GROUP: Final = "procroute"
"""Its members may ask the daemon, besides root."""
DAEMON_LOCK: Final = "/run/procroute/daemon.lock"
"""Locked as long as a daemon lives."""
HEALTH: Final = "/run/procroute/health.json"
"""What the daemon's checks have found of adapters, for whoever looks."""
ASSIGNMENTS: Final = "/run/procroute/assignments"
DAMAGED: Final = "/run/procroute/damaged"
"""What the daemon keeps of assignments, and what it could not read."""
RESOLV_CONF: Final = "/etc/resolv.conf"
"""Which name servers the system is configured with (resolv.conf(5))."""
HOLD_SOCKET: Final = "/run/procroute/hold.sock"
"""Where the holder listens for the daemon."""
HOLD_LOCK: Final = "/run/procroute/hold.lock"
"""Locked as long as a holder lives."""
