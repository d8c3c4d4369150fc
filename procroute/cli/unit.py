"""`procroute unit`: systemd units on routes; `slice` is here, each other word has a file."""

from __future__ import annotations

import argparse

from procroute.cli import output, route_options, unit_anchor, unit_list, unit_run, unit_wrap
from procroute.cli.verb_words import words_of
from procroute.errors import Exit

_ABOUT = """Prints the slice of the route by ADAPTER; the same options as for run mean
the same route. What runs in that slice is routed while a route for it
lives: from the start of a `procroute run` with these options to its end.

  systemd-run --slice=$(procroute unit slice wan1) CMD

With systemd-run --user it is, while a `run --user` of that user's lives."""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    verb = verbs.add_parser(
        "unit",
        help="have systemd units take routes",
        description="Has systemd units take routes at every start, and says what to write into one by hand.",
    )
    words = words_of(verb)
    parser = words.add_parser(
        "slice",
        help="the slice of a route",
        description=_ABOUT,
        usage="procroute unit slice [--gateway4 A] [--gateway6 A] [--dns A,…|system]\n"
        "                            [--strict] [--inbound] [--hold SECONDS]\n"
        "                            [--on-down block|next|main]\n"
        "                            [--existing keep|reset] ADAPTER",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    route_options.add(parser)
    parser.add_argument(
        "adapter", metavar="ADAPTER", type=route_options.word, help="the adapter, by its name"
    )
    parser.set_defaults(main=main)
    for word in (unit_wrap, unit_list, unit_run, unit_anchor):
        word.add(words)


def main(options: argparse.Namespace) -> int:
    """Print it."""
    from procroute import config
    from procroute.engine.request import Request, named
    from procroute.engine.unit import slice_for

    request = Request(command=(), adapter=options.adapter, **route_options.given(options))
    settings = config.read()
    found = slice_for(settings.identity, named(request, settings.route))
    output.answer(found.name)
    if not found.routed:
        output.tell(
            f"{found.name} is routed only while somebody is on this route, by `procroute run` with these "
            "options or as a wrapped unit; nobody is"
        )
    return Exit.OK
