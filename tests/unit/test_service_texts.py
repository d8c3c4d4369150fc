"""What is written for systemd, from what is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from procroute.core.service_texts import MARK, PLACES, RUN, SERVICE, installed, quoted

promise = pytest.mark.promise
SHIPPED = Path(__file__).parents[2] / "systemd"


@promise("SERVICE-06")
def test_every_file_that_is_shipped_has_a_place() -> None:
    there = {str(p.relative_to(SHIPPED)) for p in SHIPPED.rglob("*") if p.is_file()}
    assert there == PLACES.keys()


@promise("SERVICE-06")
@pytest.mark.parametrize("name", PLACES)
def test_nothing_but_the_program_is_changed(name: str) -> None:
    shipped = (SHIPPED / name).read_text()
    text = installed(name, shipped, ["/opt/a b/procroute"], {"PYTHONPATH": "/opt/100%$"})
    assert text.startswith(MARK)
    old, new = shipped.splitlines(), text.removeprefix(MARK).splitlines()
    added = [line for line in new if line not in old]
    around, program = "Environment=PYTHONPATH=/opt/100%%$", '"/opt/a b/procroute"'
    its = {
        SERVICE: [around, f"ExecStart={program} daemon", f"ExecReload={program} reload"],
        RUN: [around, f"ExecStart={program} unit run -- %I"],
    }
    assert added == its.get(name, [])
    assert len(new) == len(old) + bool(added)


@promise("SERVICE-06")
@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/usr/bin/x", "/usr/bin/x"),
        ("a b", '"a b"'),
        ("50%", "50%%"),
        ("$HOME", "$$HOME"),
        ('say "x"', '"say \\"x\\""'),
        ("", '""'),
    ],
)
def test_words_are_quoted_for_systemd(word: str, written: str) -> None:
    assert quoted(word) == written
