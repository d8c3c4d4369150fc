"""`procroute rules add`: one more rule, written by the daemon, which takes effect at once."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from procroute.cli import output, route_options, rules_edit
from procroute.errors import Exit, ProcrouteError

if TYPE_CHECKING:
    from procroute.rulebook.route_rule import RouteRule
    from procroute.rulebook.shape import WrittenRule
    from procroute.written.document import Wrong

_MATCHERS: Final = {
    "exe": ("PATH", "the program or script; globs. A name alone is looked up in PATH"),
    "name": ("NAME", "the process's name, as ps -o comm shows it; globs"),
    "command": ("GLOB", "the command line, its words with one space between"),
    "user": ("USER", "the user, by name or number"),
    "group": ("GROUP", "a group of the process, by name or number"),
    "cgroup": ("PATH", "a cgroup, and what lies below it; globs"),
    "unit": ("UNIT", "a systemd unit, and what lies in it; globs"),
    "app": ("ID", "a desktop application, Flatpak or snap; globs"),
    "parent": ("NAME|PATH", "a process that it descends from; globs"),
}
_EPILOG = """A condition that is given twice means any of both; different ones all have
to hold. The rule takes what starts from now on; what runs already is taken
by `procroute rules apply`.

Members of group procroute add rules for their own processes, root for all."""


def add(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the word to a verb's parser."""
    parser = words.add_parser(
        "add",
        help="add a rule, which takes effect at once",
        description="Adds a rule to a rule file, which takes effect at once. Comments in the file stay.",
        usage="procroute rules add CONDITION… --via ROUTE|--direct [OPTION…]",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    conditions = parser.add_argument_group("conditions", "each may be given more than once")
    for key, (metavar, text) in _MATCHERS.items():
        conditions.add_argument(
            f"--{key}", metavar=metavar, action="append", type=route_options.word, help=text
        )
    unless = parser.add_argument_group("exceptions", "the rule does not match where all of these hold")
    for key, (metavar, _) in _MATCHERS.items():
        unless.add_argument(f"--not-{key}", metavar=metavar, action="append", type=route_options.word)
    way = parser.add_argument_group("way")
    way.add_argument(
        "--via",
        metavar="ROUTE",
        type=route_options.word,
        help="a [route.NAME] of the configuration, or an adapter",
    )
    way.add_argument(
        "--direct", action="store_true", help="the machine's own way: an exception from later rules"
    )
    route_options.add(way, takes="what runs already")
    way.add_argument(
        "--when-down",
        choices=("deny", "allow"),
        help="what becomes of the program's start while procrouted does not answer (default: deny where "
        "strict, else allow)",
    )
    written = parser.add_argument_group("file")
    written.add_argument("--comment", metavar="TEXT", help="for people")
    written.add_argument(
        "--file",
        metavar="NAME",
        type=route_options.word,
        help="the file's name, without a folder (default: 90-added.toml, with --passing 90-passing.toml)",
    )
    written.add_argument(
        "--passing", action="store_true", help="until the next start of the machine: in /run, not in /etc"
    )
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Check it, have it written, and say what was."""
    from procroute import protocol
    from procroute.client import Client

    written = _written(options)
    rule = _checked(written)
    with Client() as client:
        reply = client.ask(protocol.AddRule(rule=written, file=options.file, passing=options.passing))
    rules_edit.say(reply, "added", as_json=options.json)
    if not options.json:
        _doubt(rule)
    return Exit.OK


def _written(options: argparse.Namespace) -> WrittenRule:
    """The rule as a file has it, as far as it has the right types. Raises ProcrouteError usage."""
    from procroute.rulebook.shape import WrittenRule
    from procroute.written.document import Wrong, convert_all

    plain: dict[str, Any] = _conditions(options, "")
    if unless := _conditions(options, "not_"):
        plain["not"] = unless
    plain |= {key: value for key in ("via", "when_down", "comment") if (value := getattr(options, key))}
    plain |= route_options.written(options)
    if plain.get("dns") == []:
        plain["dns"] = "system"
    if options.direct:
        plain["direct"] = True
    (rule,) = convert_all([plain], WrittenRule)
    if isinstance(rule, Wrong):
        raise _usage(rule)
    return rule


def _conditions(options: argparse.Namespace, prefix: str) -> dict[str, Any]:
    found = {}
    for key in _MATCHERS:
        given = getattr(options, f"{prefix}{key}")
        if given:
            patterns = [_program(text) for text in given] if key == "exe" else given
            found[key] = patterns[0] if len(patterns) == 1 else patterns
    return found


def _program(text: str) -> str:
    """The path that is meant, from `/`; said, where that is another one than was typed. Raises ProcrouteError
    usage where a name alone is in no folder of PATH."""
    import os
    import shutil

    from procroute.rulebook.globs import is_glob
    from procroute.terminal import printable

    if text.startswith("/"):
        return text
    if "/" in text:
        path = os.path.normpath(os.path.join(os.getcwd(), text))
    elif is_glob(text) or (found := shutil.which(text)) is None:
        raise ProcrouteError(
            "usage",
            f"--exe {printable(text)}: there is no such program in PATH",
            f"give its path; by the process's name: --name '{printable(text)}'",
        )
    else:
        path = os.path.abspath(found)
    output.tell(f"--exe {printable(text)} is {printable(path)}")
    return path


def _checked(written: WrittenRule) -> RouteRule:
    """Raises ProcrouteError usage where it makes no sense; the daemon would say so of a line of a file."""
    from procroute.rulebook.reading import rule_of
    from procroute.written.document import Wrong

    rule = rule_of(written)
    if isinstance(rule, Wrong):
        raise _usage(rule)
    return rule


def _usage(wrong: Wrong) -> ProcrouteError:
    from procroute.rulebook.sound import SEVERAL

    option = "-".join(map(str, wrong.key)).replace("_", "-")
    words = f"--{option} {wrong.words}" if option else wrong.words
    hints = {
        "a rule needs a way": "give --via ROUTE, or --direct",
        "a rule needs a condition": f"give one of: {', '.join(f'--{key}' for key in _MATCHERS)}",
    }
    hint = "several adapters: --via wg0,wan1" if wrong.hint == SEVERAL else wrong.hint
    return ProcrouteError("usage", words, hints.get(wrong.words, hint))


def _doubt(rule: RouteRule) -> None:
    """Say what it names that is not here now. Whether there is its route the daemon knows."""
    from procroute.rulebook.doubts import doubts
    from procroute.terminal import printable

    for found in doubts([rule], [rule.via.name] if rule.via else []):
        output.tell(printable(found.message))
