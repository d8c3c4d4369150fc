"""A cgroup that goes while it is taken out of the nft table is none that could not be taken out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from procroute.core.ruleset import Place
from procroute.errors import ProcrouteError
from procroute.kernel import cgroup_places, nf_tables, nft
from procroute.kernel.cgroup_mount import CgroupMount


@pytest.mark.parametrize("gone", [True, False])
def test_what_goes_meanwhile_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, gone: bool
) -> None:
    target = tmp_path / "unit.service"
    target.mkdir()
    key = cgroup_places.key(target)

    def run(script: str) -> None:
        assert "delete element" in script
        if gone:
            shutil.rmtree(target)
        raise ProcrouteError("kernel-option", "Error: cgroupv2 path fails")

    monkeypatch.setattr(nf_tables, "verdicts", lambda *_: {key: "lost_1"})
    monkeypatch.setattr(cgroup_places, "below_the_usual", lambda _mount, _run, script: run(script))
    monkeypatch.setattr(cgroup_places, "place", lambda *_: Place("unit.service", 1))
    mount = CgroupMount(tmp_path, "/")
    if gone:
        nft.forget(mount, target)
    else:
        with pytest.raises(ProcrouteError, match="path fails"):
            nft.forget(mount, target)
