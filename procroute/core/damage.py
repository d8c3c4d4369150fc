"""What others did to what is ours: which steps of a plan only put that right, and who was it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from procroute.core import plan
from procroute.core.machine import Ours
from procroute.model import IPNetwork, Rule


class Author(Struct, frozen=True):
    """Who sent a change to the kernel. of_kernel: nobody, it was its own doing; ours: a procroute.

    pid 0: not known; name: empty where the process had ended before it could be asked for. sure: it was seen
    to have the socket, or the kernel says so; else it may be another that chose its pid as the socket's
    number. port: of the socket.
    """

    pid: int = 0
    name: str = ""
    of_kernel: bool = False
    ours: bool = False
    sure: bool = False
    port: int = 0


Thing = Rule | tuple[int, IPNetwork] | str
"""An ip rule, the table and destination of an entry, or one of:"""
NFT_TABLE, ADAPTERS = "nft table", "adapters"


class Deed(Struct, frozen=True):
    """A change that was heard of. gone: it is no more; else it is new, or another one. port: whose."""

    thing: Thing
    gone: bool
    author: Author


def damage(
    steps: Iterable[plan.Step], now: Ours, last: Ours, own: Collection[plan.Step] = ()
) -> list[plan.Step]:
    """The steps that bring back what was as it should be at the last look, or take away what was not there.

    The others follow what has changed around us. now: what is there, for which `steps` are; own: our own
    steps since that look, which are nobody's damage.
    """

    def restores(step: plan.Step) -> bool:
        match step:
            case plan.AddRule(rule):
                return rule in last.rules and rule not in now.rules
            case plan.DeleteRule(rule):
                return rule not in last.rules
            case plan.AddEntry(entry):
                return entry in last.entries and entry not in now.entries
            case plan.DeleteEntry(entry):
                return entry not in last.entries
            case plan.SetRuleset():
                return now.fingerprint != last.fingerprint
            case plan.SetDoor(number, door) if number in last.doors:
                there = now.doors.get(number)
                if there is None:
                    return True
                # What shall be a third one was changed around us, not by others.
                return door == last.doors[number] != there and plan.SetDoor(number, there) not in own
            case plan.SetOwners(owners):
                return owners == last.owners != now.owners
            case plan.SetValidMark(adapter):
                return (adapter in last.valid_mark) != (adapter in now.valid_mark)
            case plan.NameTables():
                return dict(now.table_names) != dict(last.table_names)
            case _:
                return False

    return [step for step in steps if restores(step)]


def of_others(steps: Iterable[plan.Step], deeds: Sequence[Deed]) -> list[plan.Step]:
    """Without those that take away what nobody else is heard to have made.

    That is ours, made since the last look by whoever opened a route, and already needed no more. deeds: of
    others, none of them missed.
    """
    made = {deed.thing for deed in deeds if not deed.gone}

    def is_ours(step: plan.Step) -> bool:
        taken_away = isinstance(step, plan.DeleteRule | plan.DeleteEntry)
        return taken_away and not any(thing in made for thing, _ in _done(step))

    return [step for step in steps if not is_ours(step)]


def blamed(steps: Iterable[plan.Step], deeds: Sequence[Deed]) -> list[Author]:
    """Who did what these steps put right, as far as it was heard. deeds: of others, the oldest first."""
    last = {(deed.thing, deed.gone): deed.author for deed in deeds}
    found: dict[Author, None] = {}
    for step in steps:
        author = next((last[done] for done in _done(step) if done in last), None)
        if author is not None:
            found[author] = None
    return list(found)


def _done(step: plan.Step) -> list[tuple[Thing, bool]]:
    """The deeds that a step undoes, the likeliest first.

    The kernel does not tell of IPv4 entries that it drops with their adapter (net/ipv4/fib_trie.c,
    fib_table_flush).
    """
    match step:
        case plan.AddRule(rule):
            return [(rule, True)]
        case plan.DeleteRule(rule):
            return [(rule, False)]
        case plan.AddEntry(entry):
            return [((entry.table, entry.destination), True), (ADAPTERS, False)]
        case plan.DeleteEntry(entry):
            return [((entry.table, entry.destination), False)]
        case plan.SetRuleset():
            return [(NFT_TABLE, True), (NFT_TABLE, False)]
        case _:
            return []


def spoken(authors: Iterable[Author]) -> str:
    """Who it was, for people: `nft (pid 4711), probably ip (pids 4712, 4713 and 7 more)`. Nobody: empty."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for author in authors:
        if author.of_kernel:
            name, sure = "the kernel", True
        else:
            name, sure = author.name or "a process that has ended", author.sure or not author.name
        pids = groups.setdefault((name, sure), [])
        if author.pid and author.pid not in pids:
            pids.append(author.pid)
    return ", ".join(
        f"{'' if sure else 'probably '}{name}{_numbers(pids)}" for (name, sure), pids in groups.items()
    )


def _numbers(pids: Sequence[int]) -> str:
    if not pids:
        return ""
    more = f" and {len(pids) - 2} more" if len(pids) > 2 else ""
    return f" (pid{'s' if len(pids) > 1 else ''} {', '.join(map(str, pids[:2]))}{more})"
