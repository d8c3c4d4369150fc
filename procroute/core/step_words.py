"""A step in words, for a person who is to find out why it does not last; and many in few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

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
        case plan.SetOwners(owners):
            said = f"{'attach' if owners else 'detach'} the programs for users' sockets"
        case plan.SetRuleset(ruleset):
            said = "remove the nft table" if ruleset is None else "write the nft table"
        case plan.SetValidMark(adapter, on):
            said = f"set src_valid_mark of {adapter} to {'1' if on else 'its old value'}"
        case _:
            said = "name the tables for ip(8)"
    return said


def things(steps: Iterable[plan.Step]) -> list[str]:
    """What these steps are about, each kind once: `3 ip rules`, `2 entries of tables`, `the nft table`."""
    counted = Counter(map(_thing, steps))
    return [one if n == 1 else many.replace("{}", str(n)) for (one, many), n in counted.items()]


def _thing(step: plan.Step) -> tuple[str, str]:
    """What it is called alone, and when there are several."""
    match step:
        case plan.AddRule():
            return "1 ip rule", "{} ip rules"
        case plan.DeleteRule():
            return "1 ip rule too many", "{} ip rules too many"
        case plan.AddEntry():
            return "1 entry of our tables", "{} entries of our tables"
        case plan.DeleteEntry():
            return "1 entry too many in our tables", "{} entries too many in our tables"
        case plan.AddTarget(live) | plan.UpdateTarget(live) | plan.RemoveTarget(live):
            name = f"the cgroup of {live.route.name}"
        case plan.SetDoor(number):
            name = f"the programs of route {number}"
        case plan.SetOwners():
            name = "the programs for users' sockets"
        case plan.SetRuleset():
            name = "the nft table"
        case plan.SetValidMark(adapter):
            name = f"src_valid_mark of {adapter}"
        case _:
            name = "the names of tables"
    return name, name
