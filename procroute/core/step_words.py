"""A step in words, for a person who is to find out why it does not last."""

from __future__ import annotations

from procroute.core import plan
from procroute.core.overlap import text


def words(step: plan.Step) -> str:
    """What a step does, as part of a sentence: `add the ip rule …`."""
    match step:
        case plan.AddEntry(entry):
            said = f"add the entry {entry.destination} to table {entry.table}"
        case plan.DeleteEntry(entry):
            said = f"delete the entry {entry.destination} from table {entry.table}"
        case plan.AddRule(rule):
            said = f"add the ip rule {text(rule)}"
        case plan.DeleteRule(rule):
            said = f"delete the ip rule {text(rule)}"
        case plan.AddTarget(live):
            said = f"make the cgroup of {live.route.name}"
        case plan.UpdateTarget(live):
            said = f"write on the cgroup of {live.route.name}"
        case plan.RemoveTarget(live):
            said = f"remove the cgroup of {live.route.name}"
        case plan.SetDoor(number):
            said = f"attach the programs of route {number}"
        case plan.SetRestore(restore):
            said = "remove the nft table" if restore is None else "write the nft table"
        case plan.SetValidMark(adapter, on):
            said = f"set src_valid_mark of {adapter} to {'1' if on else 'its old value'}"
        case _:
            said = "name the tables for ip(8)"
    return said
