"""assign, release, ps and watch: what they ask a stand-in for the daemon, and what they tell."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.text import Text

from procroute import protocol
from procroute.cli import assignment_table, event_words
from procroute.cli import main as command_line
from procroute.core.moving import LISTENING
from procroute.errors import Exit
from procroute.terminal import printable
from tests.daemon_stand_in import StandIn

promise = pytest.mark.promise
ROOT = Path(__file__).parents[2]
EVIL = "x\x1b]0;evil\x07\u202e\n"
CURL = protocol.Process(4711, "curl", ["curl", "https://example.org"])
ASSIGNMENT = protocol.Assignment(
    3, "wan1", "wan1", "assign", 0, 0, "/procroute.slice/a", since=5.5, processes=[CURL]
)
HIDDEN = protocol.Assignment(4, "wan1", "wan1", "run", 12345, 12345, "/b", processes=[protocol.Process(7)])
COUNTED = replace(ASSIGNMENT, sockets=protocol.Sockets(2, 1))
WILD = protocol.Assignment(
    5, EVIL, "wan1", "run", 0, 0, EVIL, command=EVIL, processes=[protocol.Process(8, EVIL, [EVIL])]
)
ASSIGNED = protocol.Assigned(
    assignments=[ASSIGNMENT],
    moved=protocol.Moved(follow=2, remain=1, left={"shared with sshd (pid 9)": 3}),
    dns="follow",
    notes=["no IPv6"],
)

Verb = Callable[..., tuple[int, str, str, protocol.Request]]


@pytest.fixture
def verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verb:
    """Run a command line against a daemon with this answer: status, stdout, stderr, and what was asked."""

    def call(answer: Any, *words: str) -> tuple[int, str, str, protocol.Request]:
        with StandIn(tmp_path, lambda _: answer) as daemon:
            monkeypatch.setenv("PROCROUTE_SOCKET", daemon.path)
            status = command_line.main(list(words))
        said = capsys.readouterr()
        Path(daemon.path).unlink(missing_ok=True)
        return status, said.out, said.err, daemon.asked[0]

    return call


def documented(verb: str) -> set[str]:
    """The keys that docs/json.md has in the example of a verb, at any depth."""
    page = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## `procroute {verb}.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    (text,) = re.findall(r"^```json\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return set().union(*(keys(json.loads(line)) for line in _objects(text)))


def _objects(text: str) -> list[str]:
    """One object over many lines, or one a line."""
    return text.splitlines() if text.splitlines()[0].endswith("}") else [text]


def keys(value: Any) -> set[str]:
    """Every key of a JSON value, with those around it: `moved.follow`. Those below `left` are words."""
    found: set[str] = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= {key} | ({f"{key}.{k}" for k in keys(inner)} if key != "left" else set())
    if isinstance(value, list):
        for inner in value:
            found |= keys(inner)
    return found


@promise("CLIENT-08")
def test_assign_asks_for_what_was_typed(verb: Verb) -> None:
    typed = (
        "4711 4712 --via wan1 --gateway4 192.0.2.1 --gateway6 fe80::1 --dns 192.0.2.53 --strict --tree "
        "--existing reset --servers --on-down block --hold 2.5 --inbound"
    )
    status, out, err, asked = verb(ASSIGNED, "assign", *typed.split())
    assert status == Exit.OK
    assert asked == protocol.Assign(
        id=1,
        route=protocol.Wanted(
            "wan1", True, "192.0.2.1", "fe80::1", ["192.0.2.53"], "block", "reset", 2.5, True
        ),
        pids=[4711, 4712],
        tree=True,
        existing="reset",
        servers=True,
    )
    assert out.splitlines() == [
        "%3 is on wan1: curl (pid 4711)",
        "  open sockets: 2 follow, 1 goes on as it is",
        "  left as they are: 3 shared with sshd (pid 9)",
        "  look-ups: follow",
    ]
    assert err == "procroute: no IPv6\n"


@promise("CLIENT-08")
@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["--name", "firefox", "--via", "wan1"], {"name": "firefox"}),
        (["--via=wan1", "--unit=nginx.service"], {"unit": "nginx.service"}),
        (["--via", "wan1", "--tree", "1"], {"pids": [1], "tree": True}),
    ],
)
def test_assign_takes_names_and_units(verb: Verb, words: list[str], asked: dict[str, Any]) -> None:
    request = protocol.Assign(id=1, route=protocol.Wanted("wan1"), **asked)
    assert verb(ASSIGNED, "assign", *words)[3] == request


@promise("CLIENT-08")
def test_release_tells_ids_from_pids(verb: Verb) -> None:
    answer = protocol.Released(assignments=[ASSIGNMENT, HIDDEN], moved=protocol.Moved(reset=2), notes=["x"])
    status, out, err, asked = verb(answer, "release", "%3", "4711", "%12", "--existing=reset")
    assert status == Exit.OK
    assert asked == protocol.Release(id=1, ids=[3, 12], pids=[4711], existing="reset")
    assert out.splitlines() == [
        "%3 has left wan1: curl (pid 4711)",
        "%4 has left wan1: pid 7",
        "  open sockets: 2 were reset",
    ]
    assert err == "procroute: x\n"


@promise("CLIENT-08")
@pytest.mark.parametrize(("pid", "named"), [(4712, ", which pid 4712 is in,"), (4711, "")])
def test_release_by_a_pid_says_that_all_of_its_assignment_goes(verb: Verb, pid: int, named: str) -> None:
    two = replace(ASSIGNMENT, processes=[CURL, protocol.Process(4712, "tee")])
    _, out, _, _ = verb(protocol.Released(assignments=[two], moved=protocol.Moved()), "release", str(pid))
    assert out == f"%3{named} has left wan1: curl (pid 4711) and 1 more\n"


@promise("CLIENT-08")
@pytest.mark.parametrize(("number", "words"), [(1, "it is: 1 TCP server:"), (2, "they are: 2 TCP servers:")])
def test_one_that_is_left_is_no_several(verb: Verb, number: int, words: str) -> None:
    answer = replace(ASSIGNED, moved=protocol.Moved(left={LISTENING: number}))
    assert f"left as {words}" in verb(answer, "assign", "4711", "--via", "wan1")[1]


@promise("CLIENT-08")
def test_what_ps_lists_release_takes(verb: Verb) -> None:
    _, out, _, _ = verb(protocol.Assignments(assignments=[ASSIGNMENT]), "ps")
    word = out.splitlines()[2].split()[0]
    answer = protocol.Released(assignments=[], moved=protocol.Moved())
    _, out, _, asked = verb(answer, "release", word)
    assert asked == protocol.Release(id=1, ids=[3])
    assert out == "nothing was changed\n"


@promise("CLIENT-08")
def test_ps_lists_processes_and_sockets(verb: Verb) -> None:
    many = [protocol.Process(n, "x") for n in range(100, 130)]
    crowd = protocol.Assignment(
        9, "wan1~strict", "wan1", "run", 0, 0, "/c", processes=many, sockets=protocol.Sockets(5, 1)
    )
    empty = protocol.Assignment(10, "wan1", "wan1", "embedded", 0, 0, "/d", command="sleep 9")
    answer = protocol.Assignments(assignments=[ASSIGNMENT, HIDDEN, crowd, empty])
    status, out, err, asked = verb(answer, "ps", "--sockets")
    assert (status, err) == (Exit.OK, "")
    assert asked == protocol.Ps(id=1, sockets=True)
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["id", "route", "how", "owner", "on", "route", "elsewhere", "pid", "command"]
    assert rows[2] == ["%3", "wan1", "assign", "root", "–", "–", "4711", "curl", "https://example.org"]
    assert rows[3] == ["%4", "wan1", "run", "12345", "–", "–", "7", "–"]
    assert rows[4] == ["%9", "wan1~strict", "run", "root", "5", "1", "100", "x"]
    assert rows[5] == ["101", "x"]
    assert rows[-2] == ["and", "10", "more"]
    assert rows[-1] == ["%10", "wan1", "embedded", "root", "–", "–", "–", "sleep", "9"]
    assert verb(protocol.Assignments(assignments=[]), "ps")[1] == "nothing is assigned\n"


@promise("CLIENT-08")
def test_the_table_fits_its_terminal() -> None:
    table = assignment_table.as_table([ASSIGNMENT, HIDDEN], 60)
    assert all(len(line) <= 60 for line in Text.from_ansi(table).plain.splitlines())


@promise("CLIENT-08")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ASSIGNED, ["assign", "4711", "--via", "wan1"]),
        (
            protocol.Released(assignments=[ASSIGNMENT], moved=protocol.Moved(left={"x": 1}), notes=["n"]),
            ["release", "4711"],
        ),
        (protocol.Assignments(assignments=[COUNTED]), ["ps"]),
    ],
    ids=["assign", "release", "ps"],
)
def test_json_has_the_keys_of_its_page(verb: Verb, answer: Any, words: list[str]) -> None:
    status, out, err, _ = verb(answer, *words, "--json")
    assert (status, err) == (Exit.OK, "")
    assert keys(json.loads(out)) == documented(words[0])
    assert json.loads(out)["version"] == 1


ODD = printable(EVIL)
EVENTS = [
    protocol.Added(at=1e9, assignment=HIDDEN),
    protocol.Added(at=1e9, assignment=replace(HIDDEN, processes=[], command="x" * 99)),
    protocol.Added(at=1e9, assignment=replace(HIDDEN, processes=[])),
    protocol.Left(at=1e9, assignment=HIDDEN, process=protocol.Process(9), cgroup="/x"),
    protocol.Left(
        at=1e9,
        assignment=ASSIGNMENT,
        process=protocol.Process(9, EVIL),
        cgroup=EVIL,
        followers=2,
        ended=True,
    ),
    protocol.Repaired(at=1e9, what=["ip rules", "belt"], who="nft (pid 8)", ms=12.4),
    protocol.Switched(
        at=1e9, route="wan1,wan2", adapter="wan2", why="wan1 is gone: wan1,wan2 leaves by wan2"
    ),
    protocol.Removed(at=1e9, assignment=ASSIGNMENT, why="released"),
]
WATCHING = [protocol.Watching(assignments=[ASSIGNMENT]), *EVENTS, None]


@promise("CLIENT-08", "LEFT-01")
def test_watch_tells_a_line_an_event(verb: Verb) -> None:
    status, out, err, asked = verb(WATCHING, "watch")
    assert asked == protocol.Watch(id=1)
    assert [line[9:] for line in out.splitlines()] == [
        "watching: 1 assignment; Ctrl-C ends it",
        "= %3 on wan1 by assign: curl (pid 4711)",
        "+ %4 on wan1 by run: pid 7",
        f"+ %4 on wan1 by run: {'x' * 59}…",
        "+ %4 on wan1 by run",
        "! %4 on wan1: a process (pid 9) left for the cgroup /x",
        f"! %3 on wan1: {ODD} (pid 9) and 2 more below it left for the cgroup {ODD}: ended",
        "! repaired in 12 ms: ip rules, belt, changed by nft (pid 8)",
        "! wan1 is gone: wan1,wan2 leaves by wan2",
        "- %3 on wan1 released",
    ]
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in out.splitlines())
    assert status == Exit.FAILED
    assert "closed the connection" in err


@promise("CLIENT-08")
def test_watch_as_json_is_an_object_a_line(verb: Verb) -> None:
    _, out, _, _ = verb(WATCHING, "watch", "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in told] == [
        "watching",
        *["added"] * 3,
        *["left"] * 2,
        "repaired",
        "switched",
        "removed",
    ]
    assert all(line["version"] == 1 and line["at"] for line in told)
    assert told[1]["assignment"]["owner"] == 12345
    health = protocol.HealthFacts("up", 1, "", [protocol.CheckFacts("ping 192.0.2.1")])
    further = (protocol.HealthChanged(at=1, adapter="wan1", health=health), protocol.Lost(at=1))
    told += [json.loads(line) for each in further for line, _ in event_words.as_json(each)]
    found = {key for line in told for key in keys(line)}
    # The page has those of `ps`; the daemon tells processes in `watching` only.
    elsewhere = ("assignments.", "assignment.processes.")
    assert {key for key in found if not key.startswith(elsewhere)} == documented("watch")


@promise("CLIENT-08")
def test_after_lost_events_watch_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[list[Any]] = [
        [protocol.Watching(assignments=[]), protocol.Lost(at=1e9), None],
        [protocol.Watching(assignments=[HIDDEN]), None],
    ]
    with StandIn(tmp_path, lambda _: said.pop(0)) as daemon:
        monkeypatch.setenv("PROCROUTE_SOCKET", daemon.path)
        done = subprocess.run(
            [sys.executable, "-m", "procroute", "watch"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert [line[9:] for line in done.stdout.splitlines()] == [
        "watching: nothing is assigned; Ctrl-C ends it",
        "? events were lost, since they were not read in time; anew:",
        "watching: 1 assignment; Ctrl-C ends it",
        "= %4 on wan1 by run: pid 7",
    ]


@promise("CLIENT-08")
def test_watch_says_it_at_once_and_ends_with_its_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [protocol.Watching(assignments=[ASSIGNMENT]), *EVENTS * 2000]
    with StandIn(tmp_path, lambda _: many) as daemon:
        monkeypatch.setenv("PROCROUTE_SOCKET", daemon.path)
        with subprocess.Popen(
            [sys.executable, "-m", "procroute", "watch"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watching:
            assert watching.stdout
            assert watching.stderr
            assert "watching: 1 assignment" in watching.stdout.readline()
            assert "= %3" in watching.stdout.readline()
            watching.stdout.close()
            assert watching.stderr.read() == ""
    assert watching.returncode == Exit.SIGNAL + 13


@promise("CLIENT-08")
def test_watch_ends_with_its_reader_though_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StandIn(tmp_path, lambda _: [protocol.Watching(assignments=[])]) as daemon:
        monkeypatch.setenv("PROCROUTE_SOCKET", daemon.path)
        with subprocess.Popen(
            [sys.executable, "-m", "procroute", "watch"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as watching:
            assert watching.stdout
            assert b"nothing is assigned" in watching.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                watching.wait(0.5)
            watching.stdout.close()
            try:
                assert watching.wait(10) == Exit.SIGNAL + 13
            finally:
                watching.kill()
            assert watching.stderr
            assert watching.stderr.read() == b""


@promise("CLIENT-09")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            protocol.Assigned(
                assignments=[WILD], moved=protocol.Moved(left={EVIL: 1}), dns=EVIL, notes=[EVIL]
            ),
            ["assign", "8", "--via", "wan1"],
        ),
        (
            protocol.Released(assignments=[WILD], moved=protocol.Moved(left={EVIL: 1}), notes=[EVIL]),
            ["release", "8"],
        ),
        (protocol.Reloaded(notes=[EVIL]), ["reload"]),
        (protocol.Error(code="process-unknown", message=EVIL, hint=EVIL), ["ps"]),
        (protocol.Assignments(assignments=[WILD]), ["ps"]),
        (
            [
                protocol.Watching(assignments=[WILD]),
                protocol.Added(at=1, assignment=WILD),
                protocol.Repaired(at=1, what=[EVIL], who=EVIL),
                protocol.Removed(at=1, assignment=WILD, why="ended"),
                None,
            ],
            ["watch"],
        ),
    ],
    ids=["assign", "release", "reload", "error", "ps", "watch"],
)
def test_names_cannot_steer_the_terminal(verb: Verb, answer: Any, words: list[str]) -> None:
    _, out, err, _ = verb(answer, *words)
    assert "x?]0;evil" in out + err
    assert all(line.isprintable() for line in (out + err).splitlines())


@promise("ERR-08", "CLIENT-08")
@pytest.mark.parametrize(
    ("words", "why", "hint"),
    [
        ("assign", "no process was given", "procroute assign PID…|--name NAME|--unit UNIT --via ADAPTER"),
        ("assign --via wan1", "no process was given", "--via ADAPTER"),
        ("assign 4711", "no adapter was given", "--via ADAPTER"),
        ("assign 4711 --name x --via wan1", "PIDs and --name cannot be given together", "procroute assign"),
        ("assign --unit x --name y --via wan1", "--name and --unit cannot be", "procroute assign"),
        ("assign 0 --via wan1", "0 is not a PID", "see procroute assign --help"),
        ("assign 4194305 --via wan1", "4194305 is not a PID", "see procroute assign --help"),
        ("assign ² --via wan1", "² is not a PID", "see procroute assign --help"),
        (
            "assign firefox --via wan1",
            "firefox is not a PID; by its name: --name firefox",
            "see procroute assign --help",
        ),
        ("assign 4711 --vai wan1", "unknown option --vai", "did you mean --via? see procroute assign"),
        ("assign 4711 --via wan1 --tre", "unknown option --tre", "did you mean --tree?"),
        ("assign 4711 --via wan1 --via wan2", "--via was given twice", "see procroute assign --help"),
        ("assign 4711 --via wan1 --existing drop", "invalid choice: 'drop'", "see procroute assign --help"),
        ("assign 4711 --via wan1 --gateway4 x", "x is not an IPv4 address", "see procroute assign --help"),
        ("assign --name= --via wan1", "--name: is empty", "see procroute assign --help"),
        ("release", "no assignment was given", "procroute ps lists them"),
        ("release 3x", "3x is neither a PID nor an id like %3", "see procroute release --help"),
        ("release %", "% is neither a PID nor an id like %3", "see procroute release --help"),
        ("release %-1", "%-1 is neither a PID nor an id like %3", "see procroute release --help"),
        ("release 3 --exiting keep", "unknown option --exiting", "did you mean --existing?"),
        ("ps wan1", "unexpected: wan1", "see procroute ps --help"),
        ("ps --socket", "unknown option --socket", "did you mean --sockets?"),
        ("watch --jsn", "unknown option --jsn", "did you mean --json?"),
        ("asign 4711", "unknown verb asign", "did you mean assign?"),
    ],
)
def test_bad_words_are_refused_with_a_hint(
    words: str, why: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(words.split()) == Exit.USAGE
    lines = capsys.readouterr().err.splitlines()
    assert why in lines[0]
    assert hint in lines[1]


@promise("CLIENT-02", "CLIENT-08")
@pytest.mark.parametrize("words", ["assign 1 --via wan1", "release 1", "ps", "watch"])
def test_without_a_daemon_they_say_how_to_start_one(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROCROUTE_SOCKET", str(tmp_path / "none"))
    assert command_line.main(words.split()) == Exit.FAILED
    lines = capsys.readouterr().err.splitlines()
    assert "no procrouted runs" in lines[0]
    assert "procroute daemon" in lines[1]


@pytest.mark.parametrize("verb", ["assign", "release", "ps", "watch"])
def test_help_fits_a_terminal(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        command_line.main([verb, "--help"])
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert "%%" not in said


def test_procrouted_is_the_verb_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[list[str]] = []

    def serve(words: list[str]) -> int:
        served.append(list(words))
        return 5

    module = type(sys)("procroute.daemon.main")
    module.__dict__["main"] = serve
    monkeypatch.setitem(sys.modules, "procroute.daemon.main", module)
    from procroute import __main__

    monkeypatch.setattr(sys, "argv", ["procrouted", "--foo", "x"])
    assert __main__.daemon() == 5
    assert command_line.main(["daemon", "--foo"]) == 5
    assert served == [["--foo", "x"], ["--foo"]]
