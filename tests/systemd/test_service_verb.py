"""`procroute service`: what it puts in place, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from procroute.core.service_texts import MARK, PLACES, SERVICE, SOCKET
from tests.lab.systemd_box import SystemdBox
from tests.netns.running import ENVIRONMENT, PROCROUTE, ROOT
from tests.netns.traffic import FAMILIES, astray
from tests.systemd.daemons import AS_ADA, placed
from tests.systemd.wrapped import STAYING, UNIT, out_by, systemctl, unit, units, wrap

promise = pytest.mark.promise
STATUS = ("service", "status", "--json")


def service(box: SystemdBox, *words: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """The verb. path: more places of code."""
    env = ENVIRONMENT | {"PYTHONPATH": f"{ROOT}:{path}" if path else str(ROOT)}
    return box.run([*PROCROUTE, "service", *words], env=env)


@pytest.fixture
def bare(box: SystemdBox) -> Iterator[SystemdBox]:
    """Nothing of it is there, and nothing is afterwards."""
    yield box
    service(box, "remove")
    box.sh("rm -rf " + " ".join(PLACES.values()) + "; systemctl daemon-reload")
    box.sh("cd /run/procroute 2>/dev/null && rm -f lock && rmdir --ignore-fail-on-non-empty $PWD || true")


@promise("SERVICE-06")
def test_installed_it_runs_and_is_taken_away_again(bare: SystemdBox) -> None:
    assert service(bare, "status").returncode == 1
    done = service(bare, "install")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(PLACES.values())
    found = json.loads(service(bare, "status", "--json").stdout)
    assert {file["state"] for file in found["files"]} == {"as shipped"}
    assert found["units"] == {unit: {"enabled": "enabled", "active": "active"} for unit in (SOCKET, SERVICE)}
    assert service(bare, "status").returncode == 0
    bare.sh("usermod -aG procroute ada")
    with placed(bare, AS_ADA) as command:
        assert not [w for f in FAMILIES for w in astray(bare, command, "tcp", f, bare.wan1)]
        assert service(bare, "install").stdout == ""
        bare.path(PLACES[SERVICE]).write_text(MARK + "[Service]\nExecStart=/bin/false\n")
        assert service(bare, "install").stdout.split() == [PLACES[SERVICE]]
        assert not [w for f in FAMILIES for w in astray(bare, command, "tcp", f, bare.wan1)]
        assert service(bare, "remove").stdout.split() == list(PLACES.values())
        assert not [w for f in FAMILIES for w in astray(bare, command, "tcp", f, bare.wan1)]
    assert bare.unit_property(SERVICE, "LoadState") == "not-found"
    assert service(bare, "remove").stdout == ""
    bare.run([*PROCROUTE, "cleanup"], env=ENVIRONMENT)


@promise("SERVICE-06", "UNIT-14")
def test_what_will_not_start_without_it_is_named(bare: SystemdBox) -> None:
    """And does not, until it is unwrapped."""
    assert service(bare, "install").returncode == 0
    bare.sh("usermod -aG procroute ada")
    with units(bare, {UNIT: STAYING}), units(bare, {"probed-hers.service": STAYING}, ada=True):
        assert "wrapped" not in service(bare, "status").stdout
        wrap(bare, UNIT)
        wrap(bare, "probed-hers", ada=True)
        assert "service install" not in unit(bare, "wrap", "--via=wan1", UNIT).stderr
        found = json.loads(service(bare, "status", "--json").stdout)["wrapped"]
        assert found == [{"unit": UNIT, "user": ""}, {"unit": "probed-hers.service", "user": "ada"}]
        assert "probed-hers.service of ada" in service(bare, "status").stdout
        assert json.loads(bare.as_ada([*PROCROUTE, *STATUS], env=ENVIRONMENT).stdout)["wrapped"] == found
        said = service(bare, "remove").stderr
        assert f"will not start, as nobody can put them on their routes: {UNIT}, probed-hers" in said
        assert f"hint: procroute unit unwrap {UNIT}" in said
        assert "hint: by ada: procroute unit unwrap --user probed-hers.service" in said
        assert "sudo procroute service install" in unit(bare, "wrap", "--via=wan1", UNIT).stderr
        bare.clear()
        assert systemctl(bare, "start", UNIT).returncode != 0
        assert systemctl(bare, "start", "probed-hers", ada=True).returncode != 0
        assert out_by(bare, "wan1") == out_by(bare, "wan2") == {4: 0, 6: 0}
        assert unit(bare, "unwrap", UNIT).returncode == 0
        assert systemctl(bare, "start", UNIT).returncode == 0
        assert UNIT not in service(bare, "remove").stderr


@promise("SERVICE-06")
def test_what_others_can_change_is_not_run_by_root(bare: SystemdBox) -> None:
    bare.sh("mkdir -p /opt/hers/lib /opt/loose; chown ada /opt/hers; chmod 0777 /opt/loose")
    for path, said in (
        ("/opt/hers/lib", "/opt/hers belongs to uid 1000"),
        ("/opt/loose", "/opt/loose can be written"),
    ):
        done = service(bare, "install", path=path)
        assert done.returncode == 125, done.stdout
        assert said in done.stderr
        assert "hint" in done.stderr
    assert not [place for place in PLACES.values() if bare.path(place).exists()]
    bare.sh("rm -r /opt/hers /opt/loose")


@promise("SERVICE-06")
def test_what_is_somebody_elses_stays(bare: SystemdBox) -> None:
    its = bare.path(PLACES[SERVICE])
    its.write_text("[Service]\nExecStart=/bin/true\n")
    done = service(bare, "install")
    assert done.returncode == 125
    assert f"not made by procroute: {PLACES[SERVICE]}" in done.stderr
    assert not bare.path(PLACES[SOCKET]).exists()
    assert service(bare, "remove").stdout == ""
    assert its.exists()


@promise("SERVICE-06")
@pytest.mark.parametrize(
    ("name", "end"), [(SERVICE, f"systemctl stop {SERVICE}"), ("tried.service", "pgrep -af")]
)
def test_a_daemon_that_is_tried_out_is_to_be_ended_first(bare: SystemdBox, name: str, end: str) -> None:
    around = [f"--setenv=PYTHONPATH={ROOT}", f"--unit={name}", "--collect", "--property=Type=notify"]
    # Who names it has systemd keep it when it has ended.
    bare.run(["systemd-run", f"--property=After={name}", "--unit=probed", "sleep", "99"], check=True)
    bare.run(["systemd-run", "--quiet", *around, *PROCROUTE, "daemon"], check=True)
    try:
        done = service(bare, "install")
    finally:
        bare.run(["systemctl", "stop", name], check=True)
    assert done.returncode == 125
    assert "runs already that is not the service's" in done.stderr
    assert end in done.stderr
    assert not [place for place in PLACES.values() if bare.path(place).exists()]
    assert service(bare, "install").returncode == 0
    assert service(bare, "status").returncode == 0
    bare.run(["systemctl", "stop", "probed"], check=True)


@promise("SERVICE-06")
def test_a_user_is_told_to_be_root(bare: SystemdBox) -> None:
    done = bare.run([*AS_ADA, *PROCROUTE, "service", "install"], env=ENVIRONMENT)
    assert done.returncode == 125
    assert "sudo procroute service install" in done.stderr


@promise("SERVICE-06")
def test_from_a_wheel(bare: SystemdBox, tmp_path: Path) -> None:
    """Unpacked as pip does, into a venv that has the rest from the system; started by its own script."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    bare.sh("python3 -m venv --system-site-packages --without-pip /opt/procroute")
    where = bare.run(
        ["/opt/procroute/bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    ).stdout
    with zipfile.ZipFile(wheel) as unpacked:
        unpacked.extractall(bare.path(where.strip()))
    bare.sh(f"cp -r {where.strip()}/procroute-*.data/data/share /opt/procroute/")
    script = (
        "#!/opt/procroute/bin/python\nimport sys\nfrom procroute.__main__ import main\nsys.exit(main())\n"
    )
    bare.path("/opt/procroute/bin/procroute").write_text(script)
    bare.sh("chmod 755 /opt/procroute/bin/procroute; chmod -R go-w /opt/procroute")
    done = bare.run(["/opt/procroute/bin/procroute", "service", "install"])
    assert done.returncode == 0, done.stderr
    assert "ExecStart=/opt/procroute/bin/procroute daemon" in bare.path(PLACES[SERVICE]).read_text()
    assert "PYTHONPATH" not in bare.path(PLACES[SERVICE]).read_text()
    assert bare.run(["/opt/procroute/bin/procroute", "ps"]).returncode == 0
    assert bare.run(["/opt/procroute/bin/procroute", "service", "status"]).returncode == 0
    assert bare.run(["/opt/procroute/bin/procroute", "service", "remove"]).returncode == 0
    bare.sh("rm -r /opt/procroute")
