"""TOML text to plain values, and words for what is wrong in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, Final, TypeVar, get_args

import msgspec
from msgspec import Struct

from procroute.terminal import printable

_AT: Final = re.compile(r" ?\(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_S = TypeVar("_S", bound=Struct)
# How msgspec words what it refuses (msgspec.ValidationError).
_EXPECTED: Final = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_LENGTH: Final = re.compile(r"of length (>=|<=) (\d+)")
_MISSING: Final = re.compile(r"missing required field `(.*)`$", re.DOTALL)
_BOUND: Final = re.compile(r"Expected `[^`]+` ([<>]=?) (\S+)$")
_BOUNDS: Final = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}
_WITH_UNIT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:s|sec|seconds?)?\s*")
_UNKNOWN: Final = re.compile(r"unknown field `(.*)`$", re.DOTALL)
_KEYS: Final = re.compile(r"[.]([A-Za-z0-9_]+)")
_KINDS: Final = {
    "str": "a text",
    "array": "a list",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "object": "a table",
    "null": "nothing",
}


class UnreadableError(Exception):
    """No text, or no TOML. line: 0 where it is not one line that is to blame."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.hint = hint


def parse(text: str) -> dict[str, Any]:
    """The document. Raises UnreadableError."""
    import tomllib  # most machines have no file, and starting must be quick

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        if not (found := _AT.search(str(e))):
            raise UnreadableError(0, f"not TOML: {printable(str(e))}") from e
        line = int(found["line"] or text.count("\n") + 1)
        raise UnreadableError(line, f"not TOML: {printable(str(e)[: found.start()])}") from e
    except RecursionError as e:
        raise UnreadableError(0, "too many tables or lists in one another") from e


def decode(data: bytes) -> str:
    """The text of a file. Raises UnreadableError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise UnreadableError(
            line, f"not UTF-8: the byte 0x{data[e.start]:02x}", "TOML files are UTF-8"
        ) from e


def near(key: str, keys: Iterable[str], prefix: str = "") -> str:
    """A hint for a key that is unknown, as a terminal may show it. prefix: of the table, with a dot."""
    known = list(keys)
    close = difflib.get_close_matches(key, known, n=len(known))
    likeness = [difflib.SequenceMatcher(None, key, other).ratio() for other in close]
    meant = [
        printable(f"{prefix}{other}")
        for other, how in zip(close, likeness, strict=True)
        if how == likeness[0]
    ]
    return f"did you mean {' or '.join(sorted(meant))}?" if meant else f"known here: {', '.join(known)}"


class Wrong(Struct, frozen=True):
    """What is wrong with one value. hint: or nothing.

    key: where it is, in the table that was looked at; people are not told numbers in it, but the line.
    """

    key: tuple[str | int, ...]
    words: str
    hint: str = ""

    @property
    def message(self) -> str:
        """All of it but the hint."""
        names = ".".join(name for name in self.key if isinstance(name, str))
        return f"{printable(names)} {self.words}".strip()


def convert(table: object, shape: type[_S], within: tuple[str | int, ...] = ()) -> _S | Wrong:
    """A table as a Struct, or what is wrong with it. within: the key of the table."""
    try:
        return msgspec.convert(table, shape)
    except msgspec.ValidationError as e:
        return _wrong(str(e), table, shape, within)


def convert_all(tables: list[Any], shape: type[_S]) -> list[_S | Wrong]:
    """The same for many, and quick where nothing is wrong."""
    try:
        return list(msgspec.convert(tables, list[shape]))  # type: ignore[valid-type]
    except msgspec.ValidationError:
        return [convert(table, shape) for table in tables]


def faults(table: object, shape: type[_S]) -> tuple[list[Wrong], _S | None]:
    """All that is wrong with a table, and what is left of it without that; None: nothing that could be."""
    found: list[Wrong] = []
    while isinstance(got := convert(table, shape), Wrong):
        found.append(got)
        path = [name for name in got.key if isinstance(name, str)]
        if not path or (table := _without(table, path)) is None:
            return found, None
    return found, got


def _without(table: object, path: Sequence[str]) -> dict[str, Any] | None:
    """A copy of a table without one key; None where there is none such."""
    name, *rest = path
    if not isinstance(table, dict) or name not in table:
        return None
    inner = _without(table[name], rest) if rest else None
    return {key: value for key, value in table.items() if key != name} | (
        {} if inner is None else {name: inner}
    )


def _wrong(says: str, table: object, shape: type[Struct], within: tuple[str | int, ...]) -> Wrong:
    """What msgspec says, for people."""
    what, _, where = says.partition(" - at ")
    names = tuple(_KEYS.findall(where))
    key, value = (*within, *names), table
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
        shape = _inner(shape, name) or shape
    if unknown := _UNKNOWN.search(what):
        prefix = "".join(f"{name}." for name in key if isinstance(name, str))
        return Wrong((*key, unknown[1]), "is unknown", near(unknown[1], _names(shape), prefix))
    if what.startswith("Invalid enum value"):
        return Wrong(key, f"cannot be {printable(repr(value))}", _choices(shape, key))
    if length := _LENGTH.search(what):
        return Wrong(key, "is empty" if length[1] == ">=" else f"is too long: {length[2]} at most")
    if expected := _EXPECTED.search(what):
        kinds = [_KINDS.get(kind, kind) for kind in expected[1].split(" | ") if kind != "null"]
        got = _KINDS.get(expected[2], expected[2])
        words = f"must be {' or '.join(dict.fromkeys(kinds))}, not {got}"
        if "a number" in kinds and isinstance(value, str) and key and "[" not in where:
            return Wrong(key, words, _bare(str(key[-1]), value))
        return Wrong(key, words if "[" not in where else f"{words}, in its list")
    if missing := _MISSING.search(what):
        return Wrong(key, f"has no {printable(missing[1])}")
    if bound := _BOUND.search(what):
        return Wrong(key, f"must be {_BOUNDS[bound[1]]} {float(bound[2]):g}, not {printable(repr(value))}")
    return Wrong(key, f"cannot be so: {printable(what)}")


def _bare(key: str, value: str) -> str:
    """How a number that was written as a text, or in seconds with their unit, is written."""
    found = _WITH_UNIT.fullmatch(value)
    return f"{key} = {found[1]}" if found else "without quotes, and without a unit"


def _names(shape: type[Struct]) -> tuple[str, ...]:
    return shape.__struct_encode_fields__


def _kinds(shape: type[Struct], name: str) -> list[type | str]:
    """What a field can be, by its name in files: types, and words of a Literal."""
    found, left = [], [f.type for f in msgspec.structs.fields(shape) if f.encode_name == name]
    while left:
        kind = left.pop()
        left += get_args(kind)
        if isinstance(kind, type | str):
            found.append(kind)
    return found


def _inner(shape: type[Struct], name: str) -> type[Struct] | None:
    """The Struct that a field holds, if one."""
    kinds = _kinds(shape, name)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Struct)), None)


def _choices(shape: type[Struct], key: tuple[str | int, ...]) -> str:
    kinds = _kinds(shape, str(key[-1])) if key else []
    words = [kind for kind in reversed(kinds) if isinstance(kind, str)]
    enums = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum)]
    words += [str(member.value) for kind in enums for member in kind]
    return f"one of: {', '.join(words)}" if words else ""
