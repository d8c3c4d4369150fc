"""`procroute tui`: every process and its way out, and two keys to change it."""

from __future__ import annotations

import argparse
import re

from procroute.errors import ProcrouteError


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    parser = verbs.add_parser(
        "tui",
        help="see every process and its way out, and change it",
        description="Shows adapters, processes and routes in the terminal, as they are now; assigns and "
        "releases by keys: ? lists them. Asks procrouted; where none runs root gets one until the end. Needs "
        "the extra tui.",
    )
    parser.add_argument(
        "--screenshot", metavar="FILE.svg", help="draw once, without a terminal, and write what is seen there"
    )
    parser.add_argument(
        "--size", metavar="WxH", type=_size, help="columns and rows of the screenshot (default: 120x36)"
    )
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Open it. Raises ProcrouteError, library-missing where Textual is."""
    if options.size and not options.screenshot:
        raise ProcrouteError("usage", "--size is for --screenshot", "see procroute tui --help")
    try:
        from procroute_tui.starting import main as start

        return start(options.screenshot, options.size)
    except ModuleNotFoundError as e:
        if (e.name or "").partition(".")[0] not in {"textual", "procroute_tui"}:
            raise
        raise ProcrouteError(
            "library-missing",
            "the Python package textual is missing",
            "make setup-tui; or: pip install 'procroute[tui]'",
        ) from e


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{2,3})x(\d{2,3})", text, re.ASCII)
    if not found or not (40 <= int(found[1]) <= 500 and 10 <= int(found[2]) <= 200):
        raise argparse.ArgumentTypeError(f"{text}: columns x rows, from 40x10 to 500x200")
    return int(found[1]), int(found[2])
