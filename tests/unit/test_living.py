"""Processes are told right whatever they call themselves, and however short of descriptors we are."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from procroute.kernel.living import everybody, living, user_of
from procroute.kernel.process_facts import WORDS, command_of, facts, words_of

_COMM = Path("/proc/self/comm")


@contextmanager
def named(name: str) -> Iterator[None]:
    before = _COMM.read_text()
    _COMM.write_text(name)
    try:
        yield
    finally:
        _COMM.write_text(before.rstrip("\n"))


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("end", ["\r", "\n", "\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028"])
def test_no_name_tells_whose_a_process_is(end: str) -> None:
    with named(f"{end}Uid:\t7 7 7"):
        assert user_of(os.getpid()) == os.getresuid()
        known, found = facts(os.getpid()), living(os.getpid())
    assert known
    assert found
    assert known.uids == found.uids == os.getresuid()


def test_without_descriptors_nobody_is_taken_for_ended() -> None:
    with no_descriptor_left():
        with pytest.raises(OSError, match="Too many open files"):
            living(os.getpid())
        with pytest.raises(OSError, match="Too many open files"):
            list(everybody())
    assert living(os.getpid())


def test_of_a_long_command_line_the_beginning_is_told() -> None:
    words = ["sh", "-c", "echo; read it", *["0" * 100_000] * 9]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        found = living(child.pid)
        assert found
        assert found.command == command_of(child.pid) == [*words[:3], "0" * (WORDS - 20)]
        assert command_of(child.pid, 1 << 23) == words
        child.communicate(b"\n")


def test_a_command_line_need_not_end_as_the_kernel_ends_it() -> None:
    """As a program may write it that shows its state there."""
    assert words_of(b"nginx: master") == ["nginx: master"]
    assert words_of(b"a\0\0b\0") == ["a", "", "b"]
    assert words_of(b"") == []


def test_who_is_not_there_is_nobody() -> None:
    assert living(1 << 22) is None
