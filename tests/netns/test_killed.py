"""kill -9 of the engine before each single step: what still runs fails closed, and all can be restored."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from procroute.kernel import programs
from procroute.lab import Lab
from tests.netns.crowd import crowd, hang_up, kill_engine
from tests.netns.running import ENVIRONMENT, procroute, unchanged, until
from tests.netns.traffic import SERVER


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """rp_filter 1, so that the nft table and the sysctl take part."""
    with Lab(rp_filter=1) as lab:
        lab.sh("rm -rf /etc/iproute2")  # the most to make: it is missing where iproute2 keeps all in /usr
        yield lab


PARTS = 2
"""Each sweep is cut in two, which run side by side: the even steps and the odd ones."""
each_part = pytest.mark.parametrize("part", range(PARTS), ids=["even steps", "odd steps"])


def sweep(
    lab: Lab, part: int, options: list[str], restores: list[list[str]], look: Callable[[str], None]
) -> int:
    """Kill a run before each of its steps and restore; `look` is called in between with the step's name.

    How many steps there were. The restores take turns. AssertionError when one left or took anything.
    """
    words = [sys.executable, "-m", "tests.netns.killed", str(part), str(PARTS), *options]
    for restore in restores:
        words += ["/", *restore]
    pipe = subprocess.PIPE
    process = lab.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe)
    with process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for line in process.stdout:
            said = json.loads(line)
            if "steps" in said:
                assert process.wait(5) == 0
                return int(said["steps"])
            name = f"killed before step {said['step']}, {said['before']}"
            if "left" in said:
                assert not said["left"], name
            else:
                look(name)
                process.stdin.write("\n")
                process.stdin.flush()
        raise AssertionError(process.stderr.read())


@pytest.mark.promise("KILL-02", "KILL-03", "CLEAN-01", "CLEAN-02", "CLEAN-03")
@each_part
def test_everything_is_restored_from_every_step(lab: Lab, part: int) -> None:
    """By `cleanup` and by the next run, of another route or the same."""
    other, same = (["run", "--via", "wan2", "--strict", "--", "true"], ["run", "--via", "wan1", "--", "true"])
    with unchanged(lab):
        restores = [["cleanup"], other, ["cleanup"], same]
        assert sweep(lab, part, ["--via", "wan1"], restores, lambda _: None) > 60


@pytest.mark.promise("KILL-01", "KILL-03", "NEG-01", "NEG-02")
@each_part
def test_what_still_runs_stays_closed_at_every_step(lab: Lab, part: int) -> None:
    """A command whose engine is gone already, while another engine dies; the next run restores all but it."""
    with unchanged(lab):
        with crowd(lab, [("wan1",)]) as (command,):
            kill_engine(command.process)
            lab.clear()

            def look(name: str) -> None:
                for address in SERVER.values():
                    heard = command.ask("tcp", to=address)
                    assert heard.router == "wan1", f"{name}: {heard}"

            restores = [["run", "--via", "wan1", "--", "true"]]
            assert sweep(lab, part, ["--via", "wan2", "--strict"], restores, look) > 40
            lab.settle()
            assert not lab.wan2.packets()
            lab.nft("delete table inet procroute")
            programs.detach(command.target, ("mark", "guard"))
            assert command.ask("tcp", to=SERVER[4]).router == "wan2"
            hang_up(command.process)
        until(lambda: procroute(lab, "cleanup").returncode == 0)
