"""Everything of the machine's network that must be the same before and after a run, as text by name.

before = snapshot(lab); lab.run([...]); assert changes(before, snapshot(lab)) == {}
"""

from __future__ import annotations

from typing import Any, Final, Protocol

_PLACES: Final = "/etc/procroute /etc/iproute2 /run /sys/fs/bpf"
_COMMANDS: Final = {
    "rules4": "ip -d -4 rule show",
    "rules6": "ip -d -6 rule show",
    "routes4": "ip -d -4 route show table all",
    "routes6": "ip -d -6 route show table all",
    "links": "ip -d link show | sed -E 's/(_timer|fdb_n_learned) +[0-9.]+//g'",  # a bridge counts
    "addresses": "ip address show",
    "nft": "nft list ruleset",
    "mounts": "cat /proc/self/mountinfo",
    "files": f"find {_PLACES} ! -type d -printf '%M %n %u %g %s %p %l\\n' 2>/dev/null; true",
    "directories": f"find {_PLACES} -type d 2>/dev/null; true",
}
_CUT: Final = "=====procroute-lab====="


class Observed(Protocol):
    """What a snapshot needs of a lab."""

    def sh(self, script: str, timeout: float = 30) -> str:
        """Standard output of a shell script in the machine."""

    def ask(self, op: str) -> Any:
        """The answer of the machine's init."""


def snapshot(lab: Observed) -> dict[str, str]:
    """The present state, by name. Each sysctl has a key ("sysctl net/ipv4/…"), so have BPF programs."""
    script = "\n".join(f"{command}; echo {_CUT}" for command in _COMMANDS.values())
    found = dict(zip(_COMMANDS, lab.sh(script).split(_CUT + "\n"), strict=False))
    cgroups, programs, sysctls = lab.ask("cgroups"), lab.ask("attached"), lab.ask("sysctls")
    found["cgroups"] = "\n".join(cgroups)
    found |= {f"bpf {place}": str(ids) for place, ids in programs.items()}
    found |= {f"sysctl {path}": value for path, value in sysctls.items()}
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str, str]]:
    """What differs: name → (lines only before, lines only after)."""
    found = {}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, "").splitlines(), after.get(name, "").splitlines()
        if old != new:
            gone, come = [line for line in old if line not in new], [line for line in new if line not in old]
            found[name] = ("\n".join(gone), "\n".join(come))
    return found
