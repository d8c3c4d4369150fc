"""A machine run by a real systemd, of each release that is tried; tests leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.systemd_box import SYSTEMD, SystemdBox


@pytest.fixture(scope="module", params=list(SYSTEMD))
def box(request: pytest.FixtureRequest) -> Iterator[SystemdBox]:
    """Two uplinks, of which main prefers wan2."""
    with SystemdBox(request.param, main="both") as box:
        yield box
