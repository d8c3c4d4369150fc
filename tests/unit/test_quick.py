"""The quick way of `run` takes plain words for what the full parser does, and leaves all others to that."""

from __future__ import annotations

import argparse
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from procroute.cli import quick, route_options, run
from procroute.cli.main import Parser
from procroute.errors import ProcrouteError

promise = pytest.mark.promise


def parsed(words: list[str]) -> tuple[dict[str, Any], list[str]] | None:
    """What the full parser makes of it; None: an error, --user, or help."""
    parser = Parser(prog="procroute")
    run.add(parser.add_subparsers(parser_class=Parser))
    try:
        options: argparse.Namespace = parser.parse_args(["run", *words])
        command = run.command_of(options)
    except (ProcrouteError, SystemExit):
        return None
    if options.user is not None:
        return None
    return {"via": options.via, **route_options.written(options)}, command


ADDRESSES = st.one_of(
    st.ip_addresses().map(str),
    st.ip_addresses(network="fe80::/10").map(str),
    st.ip_addresses(network="169.254.0.0/16").map(str),
    st.ip_addresses(network="224.0.0.0/4").map(str),
    st.ip_addresses(network="::ffff:0:0/96").map(str),
    st.ip_addresses(network="::/64").map(str),
    st.sampled_from(
        [
            "0.0.0.0",
            "::",
            "::1",
            "127.0.0.1",
            "1.2.3.04",
            "1.2.3",
            "2001:DB8::1",
            "fe80::1%wan1",
            "system",
        ]
    ),
)
OPTIONS = st.one_of(
    st.tuples(st.just("--via"), st.sampled_from(["wan1", "wan2", "", "-", "--", "-x", "a b"])),
    st.tuples(st.sampled_from(["--gateway4", "--gateway6"]), ADDRESSES),
    st.tuples(st.just("--dns"), st.lists(ADDRESSES, max_size=3).map(",".join)),
    st.tuples(st.just("--strict")),
    st.sampled_from(
        [("--via=wan1",), ("--user", "me"), ("--strict=1",), ("-h",), ("--vai", "x"), ("--dns",)]
    ),
)
COMMANDS = st.lists(st.sampled_from(["ls", "--", "-", "-x", "--strict", "--via", "", "a b"]), max_size=4)


@promise("CLIENT-05")
@settings(max_examples=400)
@given(st.lists(OPTIONS, max_size=4), COMMANDS, st.booleans())
@example([("--via", "wan1"), ("--via", "wan1")], ["ls"], False)
@example([("--via", "wan1"), ("--dns", "system,system")], ["ls"], False)
@example([("--via", "wan1")], ["--", "--", "ls"], False)
def test_what_it_takes_is_what_the_parser_takes(
    options: list[tuple[str, ...]], command: list[str], first: bool
) -> None:
    words = [word for option in ([("--via", "wan1")] if first else []) + options for word in option] + command
    found = quick.plain(words)
    if found is not None:
        assert (found[0], list(found[1])) == parsed(words)


@promise("CLIENT-05")
@pytest.mark.parametrize(
    "words",
    [
        "--via wan1 ls",
        "--via wan1 -- ls -l",
        "--strict --via wan1 -- ls",
        "--via wan1 --gateway4 192.0.2.1 --gateway6 2001:db8::1 ls",
        "--via wan1 --dns 192.0.2.53,2001:db8::53 ls",
        "--via wan1 --dns system ls --via x",
    ],
)
def test_plain_words_are_taken(words: str) -> None:
    assert quick.plain(words.split()) is not None


@promise("CLIENT-05")
@pytest.mark.parametrize(
    "words",
    [
        "",
        "--via",
        "--via wan1",
        "--via wan1 --",
        "ls",
        "--user me --via wan1 ls",
        "--help",
        "--via wan1 --gateway4 x ls",
    ],
)
def test_others_are_left(words: str) -> None:
    assert quick.plain(words.split()) is None
