"""/etc/procroute/config.toml: TOML in, settings out; what it does not know it refuses.

packet_marks = false    # no nft chain that marks what has lost its mark

[access.alice]          # "*": everybody else but root, who may do all
adapters = ["wan1"]     # without it: all of them
gateway = false         # may not give one
dns = false             # nor name servers

[identity]
mark_mask = 0x00003f00  # beside Calico's 0xffff0000
preference = 4000
table = 9000
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from procroute.errors import ProcrouteError
from procroute.identity import CONFIG_FILE, PREFERENCES, Identity
from procroute.model import Allowed

_AWAY = "; or move the file away, and the defaults hold"


class Settings(Struct, frozen=True):
    """identity: the numbers to use. packet_marks: nft marks packets that have lost their socket's mark.

    access: what users may ask the daemon for, by name; "*": those that are not named.
    """

    identity: Identity = Identity()
    packet_marks: bool = True
    access: Mapping[str, Allowed] = {}


def read(path: Path = Path(CONFIG_FILE)) -> Settings:
    """What the file says, or the defaults where there is none.

    Raises ProcrouteError config-bad with file and key when it cannot be read or makes no sense.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as e:
        raise ProcrouteError("config-bad", f"{path} cannot be read: {e}", f"mend it{_AWAY}") from e
    try:
        return parse(text, str(path))
    except ProcrouteError as e:
        raise ProcrouteError(e.code, e.message, f"{e.hint or 'mend it'}{_AWAY}") from e


def parse(text: str, file: str) -> Settings:
    """What a TOML text says; `file` is named in errors. Raises ProcrouteError config-bad."""
    import tomllib  # most machines have no file, and starting must be quick

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ProcrouteError("config-bad", f"{file} is not TOML: {e}") from e
    _known(document, list(Settings.__struct_fields__), file, "")
    packet_marks = document.get("packet_marks", True)
    if not isinstance(packet_marks, bool):
        raise ProcrouteError(
            "config-bad", f"{file}: packet_marks must be true or false, not {packet_marks!r}"
        )
    table = document.get("identity", {})
    if not isinstance(table, dict):
        raise ProcrouteError("config-bad", f"{file}: identity must be a table", "write [identity] above it")
    _known(table, list(Identity.__struct_fields__), file, "identity.")
    for key, value in table.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise ProcrouteError("config-bad", f"{file}: identity.{key} must be a number, not {value!r}")
    return Settings(_sound(Identity(**table), file), packet_marks, _access(document.get("access", {}), file))


def _access(table: object, file: str) -> dict[str, Allowed]:
    if not isinstance(table, dict):
        raise ProcrouteError("config-bad", f"{file}: access must be a table", "write [access.NAME] above it")
    found = {}
    for user, says in table.items():
        if not isinstance(says, dict):
            raise ProcrouteError("config-bad", f"{file}: access.{user} must be a table", f"[access.{user}]")
        _known(says, list(Allowed.__struct_fields__), file, f"access.{user}.")
        try:
            found[user] = msgspec.convert(says, Allowed)
        except msgspec.ValidationError as e:
            raise ProcrouteError("config-bad", f"{file}: access.{user}: {e}") from e
    return found


def _known(table: dict[str, object], keys: list[str], file: str, prefix: str) -> None:
    for key in table:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known here: {', '.join(keys)}"
            raise ProcrouteError("config-bad", f"{file}: unknown key {prefix}{key}", hint)


def _sound(identity: Identity, file: str) -> Identity:
    mask, bits = identity.mark_mask, identity.mark_mask.bit_count()
    problem = ""
    if not 0 < mask <= 0xFFFF_FFFF or mask // (mask & -mask) != (1 << bits) - 1 or not 2 <= bits <= 8:
        problem = f"identity.mark_mask = {mask:#x} must be 2 to 8 ones in a row, as 0xff000000 is"
    elif not 1 <= identity.preference <= 32766 - PREFERENCES:
        problem = f"identity.preference must leave {PREFERENCES} numbers between 0 (local) and 32766 (main)"
    elif not 256 <= identity.table <= 600_000:
        problem = "identity.table must be 256 to 600000"
    elif not identity.table + 256 <= identity.adapter_table <= 0x7FFF_FFFF:
        problem = "identity.adapter_table must lie above the tables of routes"
    elif not 5 <= identity.protocol <= 255:
        problem = "identity.protocol must be 5 to 255: lower ones are the kernel's and iproute2's"
    if problem:
        raise ProcrouteError("config-bad", f"{file}: {problem}")
    return identity
