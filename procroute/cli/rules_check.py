"""`procroute rules check [FILE…]`: what is wrong with rule files. No daemon, no root, nothing changes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from procroute.errors import Exit, ProcrouteError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from procroute.rulebook.route_rule import Rulebook


def add(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the word to a verb's parser."""
    parser = words.add_parser(
        "check",
        help="say what is wrong with rule files",
        description="Says what is wrong with rule files, what they name that is not there now, and which "
        "rules nobody can meet; asks no daemon and needs no root. Without FILE it reads all rules as the "
        "daemon would, and says who else can write to them. Exits with 1 if there are errors.",
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="a rule file, wherever it is")
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Read, and print what was found."""
    from pathlib import Path

    from procroute.cli import findings
    from procroute.rulebook.doubts import doubts
    from procroute.rulebook.unreachable import unreachable

    books = _read([Path(file) for file in options.files])
    rules = [rule for book in books for rule in book.rules]
    found = [finding for book in books for finding in (*book.findings, *unreachable(book.rules))]
    found = sorted((*found, *doubts(rules, _routes())))
    findings.show(found, {"rules": len(rules)}, as_json=options.json)
    return Exit.FOUND if any(f.error for f in found) else Exit.OK


def _read(files: Sequence[Path]) -> list[Rulebook]:
    """Each file by itself, or all as they are asked."""
    from procroute.rulebook import folders

    return [folders.read_file(file) for file in files] if files else [folders.load()]


def _routes() -> frozenset[str]:
    """The names of configured routes; `config check` says what is wrong with a bad configuration."""
    from procroute import config

    try:
        return frozenset(config.read().route)
    except ProcrouteError:
        return frozenset()
