"""`procroute config check [FILE]`: what is wrong with the configuration. No daemon, no root."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from procroute.cli.verb_words import words_of
from procroute.errors import Exit
from procroute.places import CONFIG_FILE

if TYPE_CHECKING:
    from procroute.config import Settings
    from procroute.written.finding import Finding


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to a parser."""
    verb = verbs.add_parser(
        "config",
        help="check the configuration",
        description="Cares for the configuration (docs/configuration.md).",
    )
    words = words_of(verb)
    parser = words.add_parser(
        "check",
        help="say what is wrong with the configuration",
        description="Says what is wrong with the configuration, which adapters and users it names that are "
        "not there now, and what changes nothing; asks no daemon and needs no root. Exits with 1 if there is "
        "an error.",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", default=CONFIG_FILE, help=f"else {CONFIG_FILE}")
    parser.add_argument("--json", action="store_true", help="for programs; see docs/json.md")
    parser.set_defaults(main=main)


def main(options: argparse.Namespace) -> int:
    """Read, and print what was found."""
    from procroute.cli import findings
    from procroute.written.finding import Finding

    found = _checked(options.file)
    if isinstance(found, Finding):
        findings.show([found], {"adapters": 0, "routes": 0}, as_json=options.json)
        return Exit.FOUND
    settings, doubtful = found
    counted = {"adapters": len(settings.adapter), "routes": len(settings.route)}
    findings.show(doubtful, counted, as_json=options.json)
    return Exit.OK


def _checked(file: str) -> tuple[Settings, list[Finding]] | Finding:
    from pathlib import Path

    from procroute.config import Settings
    from procroute.config.doubts import doubts
    from procroute.config.parsing import read
    from procroute.rulebook.doubts import is_adapter
    from procroute.user_names import is_user
    from procroute.written.files import NoFileError, read_any
    from procroute.written.finding import Finding

    try:
        data = read_any(Path(file))
    except FileNotFoundError as e:
        if file == CONFIG_FILE:
            return Settings(), []
        return Finding(file, 0, True, f"cannot be read: {e.strerror}")
    except OSError as e:
        return Finding(file, 0, True, f"cannot be read: {e.strerror}")
    except NoFileError as e:
        return Finding(file, 0, True, str(e))
    found = read(data, file)
    if isinstance(found, Finding):
        return found
    return found, doubts(data, file, found, is_adapter=is_adapter, is_user=is_user)
