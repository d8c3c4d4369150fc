"""What processes and files execute: a program, or a script by its interpreter (proc(5), execve(2))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from procroute.core.single import Program
from procroute.kernel.pinned import identify
from procroute.kernel.process_facts import command_of


def by_file(path: str) -> Program | None:
    """What executing this file means; None where it cannot be read."""
    file = os.path.realpath(path)
    try:
        with open(file, "rb") as opened:
            head = opened.read(256)
    except OSError:
        return None
    if not head.startswith(b"#!"):
        return Program(file)
    words = os.fsdecode(head[2:].split(b"\n")[0]).split()
    return Program(os.path.realpath(words[0]) if words else "", file)


def by_process(pid: int) -> Program | None:
    """What a process executes; None where it has ended or may not be looked at."""
    try:
        file = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None
    # Of a script the kernel makes the interpreter's first arguments: one of its own, and the script.
    for word in command_of(pid)[1:3]:
        if word.startswith("/"):
            script = by_file(word)
            if script is not None and script.file == file:
                return script
    return Program(file)


def earlier(uid: int, began: int) -> Iterator[int]:
    """The living processes of a user that began before so many ticks since boot, the oldest first."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                if Path(entry.path).stat().st_uid != uid:
                    continue
            except OSError:
                continue
            one = identify(int(entry.name))
            if one is not None and one.began < began:
                found.append(one)
    yield from (one.pid for one in sorted(found, key=lambda one: (one.began, one.pid)))
