"""What is typed becomes a request, or is refused with a hint before anything is done."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from procroute import __version__
from procroute.cli import main as command_line
from procroute.cli import output, run
from procroute.engine.request import Request
from procroute.errors import Exit, ProcrouteError


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an ordinary user: nothing here gets further than the question for root."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


Ask = Callable[..., Request]


@pytest.fixture
def request_of(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """What `procroute run` would ask the engine for."""
    asked: list[Request] = []

    def engine(request: Request, identity: object, tell: object) -> int:
        asked.append(request)
        return 0

    def call(*arguments: str) -> Request:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr("procroute.engine.run.run", engine)
        monkeypatch.setattr("procroute.config.read", lambda: None)
        assert command_line.main(["run", *arguments]) == 0
        return asked.pop()

    return call


Says = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Says:
    """Run a command line: its status and what it said on stderr."""

    def call(*arguments: str) -> tuple[int, list[str]]:
        status = command_line.main(list(arguments))
        captured = capsys.readouterr()
        assert captured.out == ""
        return status, captured.err.splitlines()

    return call


VERBS = (
    "verbs: run, assign, release, ps, watch, tui, status, explain, adapters, unit, cleanup, reload, rules, "
    "config, daemon, service, demo; see procroute"
)
RUN_HELP = "see procroute run --help"
BY = ("run", "--via", "wan1")


@pytest.mark.promise("ERR-08", "ERR-09")
@pytest.mark.parametrize(
    ("arguments", "why", "hint"),
    [
        ([], "no verb was given", VERBS),
        (["help"], "unknown verb help", VERBS),
        (["rnu"], "unknown verb rnu", "did you mean run? see procroute --help"),
        (["walk"], "unknown verb walk", VERBS),
        (["--verison"], "unknown option --verison", "did you mean --version? see procroute --help"),
        (["--via", "wan1", "ls"], "unknown option --via", "did you mean procroute run --via? see procroute"),
        (["run"], "no adapter was given", "procroute run --via ADAPTER"),
        (["run", "wan1", "--", "true"], "no adapter was given", "did you mean --via wan1? procroute run"),
        (["run", "--strict", "wan1", "--"], "no adapter was given", "did you mean --via wan1? procroute run"),
        (["run", "ls", "wan1"], "no adapter was given", "procroute run --via ADAPTER"),
        (["run", "--via", "", "ls"], "argument --via: is empty", RUN_HELP),
        ([*BY, "--user=", "ls"], "argument --user: is empty", RUN_HELP),
        ([*BY, "--via=wan2", "ls"], "--via was given twice", RUN_HELP),
        ([*BY, "--dns", "9.9.9.9", "--dns", "9.9.9.9", "ls"], "--dns was given twice", RUN_HELP),
        (
            [*BY, "--gateway4=192.0.2.1", "--strict", "--gateway4", "x"],
            "--gateway4 was given twice",
            RUN_HELP,
        ),
        (
            [*BY, "--gateway", "192.0.2.1", "ls"],
            "unknown option --gateway",
            f"did you mean --gateway4 or --gateway6? {RUN_HELP}",
        ),
        (["run", "--via"], "argument --via: expected one argument", RUN_HELP),
        (["run", "--", "true"], "no adapter was given", "procroute run --via ADAPTER"),
        (["run", "--vai", "wan1", "--", "true"], "unknown option --vai", f"did you mean --via? {RUN_HELP}"),
        (["run", "--via", "wan1", "--gatway4=192.0.2.1", "ls"], "unknown option --gatway4", "--gateway4? "),
        (["run", "--via", "wan1", "--strict", "--colour", "ls"], "unknown option --colour", RUN_HELP),
        (
            ["run", "--via", "wan1", "--str", "ls"],
            "unknown option --str",
            f"did you mean --strict? {RUN_HELP}",
        ),
        (["run", "--via", "wan1", "-x", "ls"], "unknown option -x", RUN_HELP),
        (["run", "--via", "wan1"], "no command was given", "procroute run --via ADAPTER"),
        (["run", "--via", "wan1", "--"], "no command was given", "procroute run --via ADAPTER"),
        (
            [*BY, "--gateway4", "fe80::1", "ls"],
            "argument --gateway4: fe80::1 is not an IPv4 address",
            RUN_HELP,
        ),
        ([*BY, "--gateway4", "192.0.2.256", "ls"], "192.0.2.256 is not an IPv4 address", RUN_HELP),
        ([*BY, "--gateway6", "192.0.2.1", "ls"], "192.0.2.1 is not an IPv6 address", RUN_HELP),
        ([*BY, "--dns", "nine", "ls"], "'nine': addresses with commas between, or system", RUN_HELP),
        ([*BY, "--dns", "9.9.9.9,", "ls"], "addresses with commas between", RUN_HELP),
        ([*BY, "--dns", "", "ls"], "addresses with commas between", RUN_HELP),
        ([*BY, "--dns", "fe80::1", "ls"], "fe80::1 is link-local", RUN_HELP),
        ([*BY, "--dns", "9.9.9.9,fe80::1%wan1", "ls"], "fe80::1%wan1 is link-local", RUN_HELP),
        ([*BY, "--dns", "169.254.1.1", "ls"], "169.254.1.1 is link-local", RUN_HELP),
        ([*BY, "--dns", "0.0.0.0", "ls"], "0.0.0.0 cannot be a name server", RUN_HELP),
        (["cleanup", "now"], "unexpected: now", "see procroute cleanup --help"),
        (["cleanup", "--forced"], "unknown option --forced", "did you mean --force? see procroute cleanup"),
        (["demo", "--jsno"], "unknown option --jsno", "did you mean --json? see procroute demo --help"),
    ],
)
def test_wrong_usage_is_refused_with_the_verbs_own_hint(
    arguments: list[str], why: str, hint: str, says: Says
) -> None:
    status, lines = says(*arguments)
    assert status == Exit.USAGE
    assert lines[0].startswith("procroute: ")
    assert why in lines[0]
    assert lines[1].startswith("  hint: ")
    assert hint in lines[1]
    assert len(lines) == 2


@pytest.mark.promise("ERR-04")
@pytest.mark.parametrize("arguments", [["run", "--via", "wan1", "--", "true"], ["cleanup"], ["demo"]])
def test_who_is_not_root_is_told_how_to_be(arguments: list[str], says: Says) -> None:
    status, lines = says(*arguments)
    assert status == Exit.FAILED
    assert "root" in lines[0]
    assert "sudo procroute" in lines[1]


@pytest.mark.promise("CLI-11", "CLI-12")
def test_every_option_reaches_the_request(request_of: Ask) -> None:
    typed = (
        "--via wan1 --gateway4 192.0.2.1 --gateway6 fe80::1 --dns 192.0.2.53,2001:db8::53 --strict --user me"
    )
    assert request_of(*typed.split(), "--", "ls", "-l") == Request(
        command=["ls", "-l"],
        adapter="wan1",
        strict=True,
        gateway4=ip_address("192.0.2.1"),  # type: ignore[arg-type]
        gateway6=ip_address("fe80::1"),  # type: ignore[arg-type]
        dns=(ip_address("192.0.2.53"), ip_address("2001:db8::53")),
        user="me",
    )


@pytest.mark.promise("CLI-12")
@pytest.mark.parametrize(
    ("typed", "dns"),
    [
        ([], None),
        (["--dns", "system"], ()),
        (["--dns", "192.0.2.53"], (ip_address("192.0.2.53"),)),
        (["--dns=192.0.2.53, 192.0.2.54,192.0.2.53"], (ip_address("192.0.2.53"), ip_address("192.0.2.54"))),
    ],
)
def test_dns_takes_addresses_or_system(typed: list[str], dns: object, request_of: Ask) -> None:
    assert request_of("--via", "wan1", *typed, "--", "true").dns == dns


@pytest.mark.promise("CLI-11", "CLI-12")
def test_addresses_are_taken_as_people_write_them(request_of: Ask) -> None:
    request = request_of("--via=wan1", "--gateway6=fe80::1%wan1", "--dns=::ffff:192.0.2.53", "--", "true")
    assert request.gateway6 == ip_address("fe80::1%wan1")
    assert request.dns == (ip_address("192.0.2.53"),)


@pytest.mark.promise("ERR-06")
@pytest.mark.parametrize(
    ("module", "package"), [("nftables", "pip-nftables"), ("pyroute2", "pyroute2"), ("msgspec", "msgspec")]
)
def test_a_missing_package_is_named(
    module: str, package: str, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(options: argparse.Namespace) -> int:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr(run, "main", fail)
    status, lines = says("run", "--via", "wan1", "--", "true")
    assert status == Exit.FAILED
    assert lines[0] == f"procroute: the Python package {package} is missing"
    assert lines[1].startswith("  hint: ")
    assert package in lines[1]


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        (["--", "ls", "--strict"], ["ls", "--strict"]),
        (["ls", "--strict", "--via", "x"], ["ls", "--strict", "--via", "x"]),
        (["--", "sh", "-c", "a -- b", "--", "c"], ["sh", "-c", "a -- b", "--", "c"]),
        (["--", "--", "x"], ["--", "x"]),
        (["ls", "--via", "x", "--via", "y"], ["ls", "--via", "x", "--via", "y"]),
    ],
)
def test_the_commands_own_options_are_its_own(typed: list[str], command: list[str], request_of: Ask) -> None:
    request = request_of("--via", "wan1", *typed)
    assert list(request.command) == command
    assert not request.strict


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["cleanup", "--help"],
        ["demo", "--help"],
        ["daemon", "--help"],
        ["daemon", "-h"],
    ],
)
def test_help_is_an_answer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(arguments)
    assert ended.value.code == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("usage: procroute")
    assert captured.err == ""


def test_help_of_run_tells_its_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["run", "--help"])
    said = capsys.readouterr().out
    assert "[--] CMD" in said
    assert "/etc/resolv.conf" in said
    assert all(word in said for word in ("128+n", "127", "126", "125", "--dns", "--gateway6", "--user"))


@pytest.mark.parametrize("verb", ["run", "cleanup", "demo", "daemon", None])
def test_help_fits_a_terminal_of_80_columns(
    verb: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        command_line.main([verb, "--help"] if verb else ["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) < 80


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["--version"])
    assert capsys.readouterr().out == f"procroute {__version__}\n"


@pytest.mark.promise("ERR-08")
@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (ProcrouteError("command-not-found", "x: command not found"), 127),
        (ProcrouteError("processes-alive", "2 routed processes are alive"), 3),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (OSError("disk full"), 125),
    ],
)
def test_what_goes_wrong_becomes_a_status_and_no_traceback(
    raised: BaseException, status: int, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(options: argparse.Namespace) -> int:
        raise raised

    monkeypatch.setattr(run, "main", fail)
    found, lines = says("run", "--via", "wan1", "--", "true")
    assert found == status
    assert all(line.startswith(("procroute: ", "  hint: ")) for line in lines)


@pytest.mark.promise("ERR-08")
def test_without_stderr_nothing_is_said_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert command_line.main(["run"]) == Exit.USAGE


@pytest.mark.promise("ERR-08")
def test_an_answer_without_stdout_fails_and_is_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert command_line.main(["--help"]) == Exit.FAILED
    assert capsys.readouterr().err == "procroute: the system refused: standard output is closed\n"


@pytest.mark.promise("ERR-08")
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_dash_is_one_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", shown)
    output.answer(" – nothing else")
    shown.flush()
    assert shown.buffer.getvalue() == b" - nothing else\n"


@pytest.mark.promise("CLI-09")
def test_under_sudo_it_names_user(says: Says, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "me")
    monkeypatch.setattr("procroute.engine.run.run", lambda request, identity, tell: 7)
    monkeypatch.setattr("procroute.config.read", lambda: None)
    assert says("run", "--via", "wan1", "--", "true") == (
        7,
        ["procroute: the command runs as root; --user me runs it as me"],
    )
    assert says("run", "--via", "wan1", "--user", "me", "--", "true") == (7, [])
    monkeypatch.setenv("SUDO_USER", "root")
    assert says("run", "--via", "wan1", "--", "true") == (7, [])
