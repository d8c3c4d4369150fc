"""/etc/procroute/config.toml: TOML in, settings out; what it does not know it refuses.

packet_marks = false    # no nft chain that marks what has lost its mark

[access.alice]          # "*": everybody else but root, who may do all
adapters = ["wan1"]     # without it: all of them
gateway = false         # may not give one
dns = false             # nor name servers

[[adapter.wan1.check]]  # whether it leads anywhere
ping = "192.0.2.1"

[adapter.wan1]
dns = ["192.0.2.53"]    # its name servers, whatever others keep

[adapter.wg0]
over = "wan1"           # a tunnel: its outer packets take this route

[route.vpn]             # a name for a way out
adapters = ["wg0"]
strict = true

[identity]
mark_mask = 0x00003f00  # beside Calico's 0xffff0000
preference = 4000
table = 9000
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from procroute.checks import Checked
from procroute.errors import ProcrouteError
from procroute.identity import CONFIG_FILE, Identity
from procroute.model import Allowed, IPAddress, Route
from procroute.tunnels import Tunnel

_AWAY = "or move the file away, and the defaults hold"


class Settings(Struct, frozen=True):
    """identity: the numbers to use. packet_marks: nft marks packets that have lost their socket's mark.

    access: what users may ask the daemon for, by name; "*": those that are not named. route: routes by names
    of their own. adapter: by name, how it is found out whether it leads anywhere, and its name servers.
    tunnels: those whose outer packets take a route, by name; files say it in `adapter`.
    """

    identity: Identity = Identity()
    packet_marks: bool = True
    access: Mapping[str, Allowed] = {}
    route: Mapping[str, Route] = {}
    adapter: Mapping[str, Checked] = {}
    tunnels: Mapping[str, Tunnel] = {}

    @property
    def given_servers(self) -> Mapping[str, tuple[IPAddress, ...]]:
        """The name servers that adapters are given, by name."""
        return {name: adapter.dns for name, adapter in self.adapter.items() if adapter.dns}


def read(path: Path = Path(CONFIG_FILE)) -> Settings:
    """What the file says, or the defaults where there is none.

    Raises ProcrouteError config-bad with file, line and key when it cannot be read or makes no sense.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as e:
        raise ProcrouteError("config-bad", f"{path} cannot be read: {e}", f"mend it; {_AWAY}") from e
    try:
        return _parsed(data, str(path))
    except ProcrouteError as e:
        hint = e.hint or "mend it"
        stop = "" if hint.endswith("?") else ";"
        raise ProcrouteError(e.code, e.message, f"{hint}{stop} {_AWAY}") from e


def parse(text: str, file: str) -> Settings:
    """What a TOML text says; `file` is named in errors. Raises ProcrouteError config-bad."""
    return _parsed(text.encode(errors="surrogatepass"), file)


def _parsed(data: bytes, file: str) -> Settings:
    from procroute.config.parsing import settings  # most machines have no file, and starting must be quick

    return settings(data, file)
