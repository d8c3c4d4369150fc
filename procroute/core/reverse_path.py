"""Where the way back of what arrives is checked, and how."""

from __future__ import annotations

from procroute.core.machine import Machine
from procroute.model import Adapter, Family


def rp_filter_drops(machine: Machine, adapter: Adapter) -> bool:
    """Whether what arrives by an adapter fails the reverse path check of main (ip-sysctl, rp_filter)."""
    value = machine.rp_filter.get(adapter.name, 0)
    # The loose check wants a way back that is one: `unreachable default` is none.
    has_default = any(e.destination == Family.IPV4.everything and e.kind == "unicast" for e in machine.main)
    return value == 1 or (value == 2 and not has_default)


def is_checked(machine: Machine, adapter: Adapter) -> bool:
    """Whether the kernel or a firewall drops what arrives by an adapter that main would not answer by."""
    return machine.checks_reverse_path or rp_filter_drops(machine, adapter)
