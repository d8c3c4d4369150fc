"""The wheel, the locks and what pyproject.toml says about them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import procroute

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = sorted(ROOT.glob("requirements*.lock"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out], cwd=ROOT, check=True
    )
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def wanted(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return sorted(line for line in lines if line and not line.startswith(("#", "-r")))


@pytest.mark.promise("FND-04")
def test_wheel_holds_every_module_and_bpf_object(wheel: zipfile.ZipFile) -> None:
    package, application = ROOT / "procroute", ROOT / "tui"
    files = [*package.rglob("*.py"), *package.rglob("*.bpf.o")]
    wanted = {str(f.relative_to(ROOT)) for f in files}
    wanted |= {str(f.relative_to(application)) for f in application.rglob("*.py")}
    missing = wanted - set(wheel.namelist())
    assert not missing
    assert any(f.suffix == ".o" for f in files), "there are no BPF objects: make bpf"


@pytest.mark.promise("FND-04")
def test_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    version = f"procroute-{procroute.__version__}"
    assert tops == {"procroute", "procroute_tui", f"{version}.dist-info", f"{version}.data"}


@pytest.mark.promise("FND-04", "RULE-14", "RULE-16")
def test_wheel_holds_every_example_of_rules_their_schema_and_what_systemd_reads(
    wheel: zipfile.ZipFile,
) -> None:
    share = f"procroute-{procroute.__version__}.data/data/share/procroute"
    data = {name for name in wheel.namelist() if ".data/" in name}
    examples = {f"{share}/rules.d/{path.name}" for path in (ROOT / "rules").glob("*.toml")}
    units = (p for p in (ROOT / "systemd").rglob("*") if p.is_file())
    units_there = {f"{share}/systemd/{path.relative_to(ROOT / 'systemd')}" for path in units}
    assert data == examples | units_there | {f"{share}/procroute-rules.schema.json"}


@pytest.mark.promise("FND-04")
def test_console_script_is_the_main_of_the_package() -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="procroute")
    assert script.value == "procroute.__main__:main"
    assert callable(script.load())


def test_version_is_the_same_everywhere() -> None:
    assert metadata.version("procroute") == procroute.__version__
    assert f"## [{procroute.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.promise("FND-03")
def test_requirements_are_those_of_pyproject() -> None:
    assert wanted("requirements.in") == sorted(PROJECT["project"]["dependencies"])
    assert wanted("requirements-tui.in") == PROJECT["project"]["optional-dependencies"]["tui"]
    assert set(PROJECT["build-system"]["requires"]) <= set(wanted("requirements-build.in"))


@pytest.mark.promise("FND-03")
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_pins_with_hashes_and_names_no_host(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"^(?=\S)", text, flags=re.MULTILINE) if entry[:1].isalnum()]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ ", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert not re.search(r"https?:|file:|index-url|find-links|trusted-host", text)


@pytest.mark.promise("FND-03")
def test_lock_of_development_holds_the_others() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-tui.lock")
    assert pins("requirements-tui.lock") | pins("requirements-build.lock") <= pins("requirements-dev.lock")


@pytest.mark.promise("FND-03")
def test_every_dependency_has_its_reason() -> None:
    reasons = (ROOT / "docs/decisions/dependencies.md").read_text(encoding="utf-8")
    for requirement in PROJECT["project"]["dependencies"]:
        name = re.split(r"[<>=!~]", requirement)[0]
        assert f"| {name} |" in reasons
