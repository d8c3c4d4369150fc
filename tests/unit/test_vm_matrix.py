"""The summary of tests in virtual machines, from what pytest says there."""

from __future__ import annotations

from pathlib import Path

from tests.vm.matrix import read, what_differs, what_was_run

_SAID = """Linux {linux}-cloud-amd64, nft {nft}, systemd {systemd}, Python 3.11.2
created: 2/2 workers
2 workers [4 items]

tests/netns/test_a.py::test_one[with a space-IPv4]
[gw0] [ 25%] PASSED tests/netns/test_a.py::test_one[with a space-IPv4]
[gw1] [ 50%] {two} tests/netns/test_a.py::test_two
[gw1] [ 75%] PASSED tests/netns/test_a.py::test_three
"""
_END = """[gw1] [ 75%] ERROR tests/netns/test_a.py::test_three
[gw0] [100%] SKIPPED tests/netns/test_a.py::test_four
"""


def say(place: Path, suite: str, job: str, text: str) -> None:
    """Put a job's log there."""
    (place / suite).mkdir(exist_ok=True)
    (place / suite / f"{job}.log").write_text(text)


def old(two: str) -> str:
    return _SAID.format(linux="6.1.0", nft="1.0.6", systemd="252", two=two)


def test_what_was_run_and_what_differs(tmp_path: Path) -> None:
    """A test that passed and then failed to end has failed."""
    say(tmp_path, "bookworm", "one", old("FAILED") + _END)
    say(
        tmp_path,
        "trixie",
        "one",
        _SAID.format(linux="6.12.1", nft="1.1.3", systemd="257", two="PASSED") + _END,
    )
    suites = [read(name, tmp_path) for name in ("bookworm", "trixie")]
    assert what_was_run(suites).splitlines() == [
        "| suite    | Linux              | nft   | systemd | passed | failed | skipped | not run |",
        "| -------- | ------------------ | ----- | ------- | ------ | ------ | ------- | ------- |",
        "| bookworm | 6.1.0-cloud-amd64  | 1.0.6 | 252     | 1      | 2      | 1       | 0       |",
        "| trixie   | 6.12.1-cloud-amd64 | 1.1.3 | 257     | 2      | 1      | 1       | 0       |",
    ]
    assert what_differs(suites).splitlines() == [
        "| test                              | bookworm | trixie  |",
        "| --------------------------------- | -------- | ------- |",
        "| tests/netns/test_a.py::test_two   | failed   | passed  |",
        "| tests/netns/test_a.py::test_three | failed   | failed  |",
        "| tests/netns/test_a.py::test_four  | skipped  | skipped |",
    ]
    assert not any(suite.right for suite in suites)


def test_a_machine_that_died(tmp_path: Path) -> None:
    """What it did not come to is missing, and not right."""
    say(tmp_path, "bookworm", "one", old("PASSED"))
    suite = read("bookworm", tmp_path)
    assert what_was_run([suite]).splitlines()[2].endswith("| 3      | 0      | 0       | 1       |")
    assert not what_differs([suite])
    assert not suite.right


def test_a_job_that_came_to_no_test(tmp_path: Path) -> None:
    say(tmp_path, "bookworm", "one", "the machine has gone\n")
    suite = read("bookworm", tmp_path)
    assert suite.silent == ["one"]
    assert not suite.right


def test_all_right(tmp_path: Path) -> None:
    text = old("PASSED").replace("4 items", "3 items")
    say(tmp_path, "bookworm", "one", text)
    suite = read("bookworm", tmp_path)
    assert suite.right
    assert not what_differs([suite])


def test_a_suite_that_was_not_run(tmp_path: Path) -> None:
    assert not read("bookworm", tmp_path).right
