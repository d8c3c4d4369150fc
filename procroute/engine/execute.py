"""Become a command, as env(1) and timeout(1) do; and what may help where that cannot be."""

from __future__ import annotations

import errno
import os

from procroute.errors import ProcrouteError

TYPE_CHECKING = False  # typing would cost a quick run a third of its time
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final, NoReturn

_SHELL: Final = "/bin/sh"
_WORDS: Final = (
    ". : alias bg bind builtin cd declare dirs disown eval exec exit export fg hash history jobs let local"
    " popd pushd read readonly return set shift shopt source times trap type ulimit umask unalias unset wait"
)
_BUILTINS: Final = frozenset(_WORDS.split())
"""Words of sh and bash that are no programs."""


def execute(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Execute a command of PATH, or by sh a text without a #! line, as execvp(3) does. Raises OSError."""
    if not command[0]:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))  # Python has a ValueError for it
    try:
        os.execvpe(command[0], list(command), environment)
    except OSError as e:
        script = found(command[0], environment) if e.errno == errno.ENOEXEC else None
        if script is None or not _is_text(script):
            raise
        os.execve(_SHELL, ["sh", script, *command[1:]], environment)


def failure(command: str, number: int) -> ProcrouteError:
    """What is wrong with a command whose execution failed with this errno."""
    if number not in {errno.ENOENT, errno.ENOTDIR}:
        return ProcrouteError("command-not-executable", f"{command}: {os.strerror(number)}")
    if "/" in command and os.path.exists(command):
        return ProcrouteError(
            "command-not-executable",
            f"{command}: its interpreter is missing",
            "see its first line, or file(1)",
        )
    named = command or "''"
    return ProcrouteError("command-not-found", f"{named}: command not found", hint_for_missing(command))


def hint_for_missing(command: str) -> str:
    """What was probably meant by a command that is not there."""
    if not command:
        return "its name is empty: a variable that is not set?"
    if any(c.isspace() for c in command):
        return "several words in one: leave out the quotes, or sh -c"
    if command in _BUILTINS:
        return f"{command} is a word of the shell: sh -c '{command} …'"
    if "/" not in command and os.environ.get("SUDO_USER"):
        return "PATH is sudo's here (secure_path of sudoers(5)): give the whole path"
    return ""


def found(word: str, environment: Mapping[str, str]) -> str | None:
    """The file that a word names, as execvp(3) looks for it."""
    if "/" in word:
        return word
    places = (os.path.join(folder, word) for folder in os.get_exec_path(environment))
    return next((place for place in places if os.path.isfile(place) and os.access(place, os.X_OK)), None)


def _is_text(file: str) -> bool:
    """Whether sh may have a go at it: a program for another machine has zeros in its head."""
    try:
        with open(file, "rb") as opened:
            return b"\0" not in opened.read(256)
    except OSError:
        return False
