"""The commands of the README's "Seeing where it goes" show what it says they do."""

from __future__ import annotations

import re
import subprocess

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.running import ENVIRONMENT, run_by


@pytest.mark.parametrize(
    ("options", "lines"),
    [((), 1), (("--strict",), 2), (("--gateway4", "198.51.100.1"), 2), (("--dns", "192.0.2.53"), 1)],
)
def test_the_rules_of_a_route_give_its_mark(options: tuple[str, ...], lines: int) -> None:
    with Lab(main="both") as lab:  # main prefers wan2
        command = lab.popen(
            [*run_by("wan1", *options), "sh", "-c", "echo; read REPLY"],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert command.stdout
        command.stdout.readline()
        shown = lab.sh("ip rule | grep procroute-").splitlines()
        assert len(shown) == lines
        [plain] = [line for line in shown if "from all" in line]
        assert re.search(r"lookup procroute-wan1\S* proto 112", plain)
        found = re.search(r"fwmark (\w+)/", plain)
        assert found
        assert "dev wan1" in lab.sh(f"ip route get 192.0.2.10 mark {found[1]}")
        assert "dev wan2" in lab.sh("ip route get 192.0.2.10")
        command.communicate("\n", timeout=20 * FACTOR)
        assert command.returncode == 0
