"""From a cgroup namespace of one's own systemd still makes the cgroups: none is made by hand in its tree."""

from __future__ import annotations

import subprocess

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.netns.running import ENVIRONMENT, ours, run_by
from tests.netns.traffic import SERVER

promise = pytest.mark.promise


@promise("UNIT-02", "CGROUP-02")
def test_from_another_cgroup_namespace_systemd_is_asked_too(box: SystemdBox) -> None:
    pipe = subprocess.PIPE
    words = ["unshare", "--cgroup", *run_by("wan1"), "sh", "-c", "echo; read go"]
    with box.machine.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout
        process.stdout.readline()
        (scope,) = box.units("procroute-run-*")
        assert box.unit_property(scope, "Slice") == "procroute-wan1.slice"
        assert process.communicate("\n", timeout=20)[1] == ""
    assert not ours(box)
    ask = f"import socket; print(socket.create_connection(('{SERVER[4]}', 7000)).recv(999))"
    done = box.run(["unshare", "--cgroup", *run_by("wan1"), "python3", "-c", ask], env=ENVIRONMENT)
    assert '"router": "wan1"' in done.stdout, done.stderr
