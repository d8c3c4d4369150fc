"""On which line each table and key of a TOML document stands: tomllib does not say.

Only for text that tomllib has taken: nothing is checked here. Source: https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

Key = tuple[str | int, ...]
"""Where a value is: names of tables and keys; after an array of tables the number in it, from 0."""

_NAME = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_NAMES = rf"{_NAME}(?:[ \t]*\.[ \t]*{_NAME})*"
_SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_HEADER: Final = re.compile(rf"\[(?P<array>\[)?[ \t]*(?P<names>{_NAMES})[ \t]*\]\]?")
_ASSIGNMENT: Final = re.compile(rf"(?P<names>{_NAMES})[ \t]*=[ \t]*")
# Behind three quotes that end a string, two more can belong to it.
_STRING = r'''"""(?:[^\\]|\\.)*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:'{0,2})|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\''''
_PIECE: Final = re.compile(rf"(?s:{_STRING})|#[^\n]*|(?P<open>[\[{{])|(?P<close>[\]}}])|(?P<end>\n)")
_EACH: Final = re.compile(_NAME)


def lines(text: str) -> dict[Key, int]:
    """The line, from 1, of each table and key; keys of inline tables are not there."""
    return dict(_walk(text.replace("\r\n", "\n")))


def nearest_line(at: Mapping[Key, int], key: Key) -> int:
    """The line of a key or of what it is in, else the first of its table; 0: there is none."""
    for n in range(len(key), 0, -1):
        if key[:n] in at:
            return at[key[:n]]
    return min((line for other, line in at.items() if other[:1] == key[:1]), default=0)


def _walk(text: str) -> Iterator[tuple[Key, int]]:
    counts: dict[Key, int] = {}
    table: Key = ()
    at, line, counted = 0, 1, 0
    while (at := _end(_SPACE, text, at)) < len(text):
        line, counted = line + text.count("\n", counted, at), at
        if header := _HEADER.match(text, at):
            table = _resolved(_split(header["names"]), counts, counted_too=not header["array"])
            if header["array"]:
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield table, line
            at = header.end()
        elif assignment := _ASSIGNMENT.match(text, at):
            yield (*table, *_split(assignment["names"])), line
            at = _after(text, assignment.end())
        else:  # no TOML after all: nobody should come here
            return


def _resolved(names: list[str], counts: dict[Key, int], *, counted_too: bool) -> Key:
    """A header's names with the numbers of the arrays that it lies in; its own only where it is no array."""
    key: Key = ()
    for i, name in enumerate(names):
        key = (*key, name)
        if key in counts and (counted_too or i < len(names) - 1):
            key = (*key, counts[key])
    return key


def _after(text: str, at: int) -> int:
    """Where the value that begins here has ended: at the end of a line that is in no bracket or string."""
    depth = 0
    for piece in _PIECE.finditer(text, at):
        if piece["open"]:
            depth += 1
        elif piece["close"]:
            depth -= 1
        elif piece["end"] and depth == 0:
            return piece.end()
    return len(text)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _split(names: str) -> list[str]:
    if names.isidentifier():  # the most by far, and quick
        return [names]
    return [_plain(name) for name in _EACH.findall(names)]


def _plain(name: str) -> str:
    if name[0] == '"' and "\\" in name:
        import tomllib

        return str(tomllib.loads(f"name = {name}")["name"])
    return name.strip("\"'") if name[0] in "\"'" else name
