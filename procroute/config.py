"""/etc/procroute/config.toml: TOML in, settings out; what it does not know it refuses.

[identity]
mark_mask = 0x00003f00  # beside Calico's 0xffff0000
preference = 4000
table = 9000
"""

from __future__ import annotations

import difflib
from pathlib import Path

from procroute.errors import ProcrouteError
from procroute.identity import CONFIG_FILE, PREFERENCES, Identity

_AWAY = "; or move the file away, and the defaults hold"


def read(path: Path = Path(CONFIG_FILE)) -> Identity:
    """The identity to use: that of the file, or the defaults where there is none.

    Raises ProcrouteError config-bad with file and key when it cannot be read or makes no sense.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Identity()
    except (OSError, UnicodeDecodeError) as e:
        raise ProcrouteError("config-bad", f"{path} cannot be read: {e}", f"mend it{_AWAY}") from e
    try:
        return parse(text, str(path))
    except ProcrouteError as e:
        raise ProcrouteError(e.code, e.message, f"{e.hint or 'mend it'}{_AWAY}") from e


def parse(text: str, file: str) -> Identity:
    """The identity that a TOML text says; `file` is named in errors."""
    import tomllib  # most machines have no file, and starting must be quick

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ProcrouteError("config-bad", f"{file} is not TOML: {e}") from e
    _known(document, ["identity"], file, "")
    table = document.get("identity", {})
    if not isinstance(table, dict):
        raise ProcrouteError("config-bad", f"{file}: identity must be a table", "write [identity] above it")
    _known(table, list(Identity.__struct_fields__), file, "identity.")
    for key, value in table.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise ProcrouteError("config-bad", f"{file}: identity.{key} must be a number, not {value!r}")
    return _sound(Identity(**table), file)


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
