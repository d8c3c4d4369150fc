"""Rules by program and by what it is called, of programs that are started by a link."""

from __future__ import annotations

import pytest

from procroute.lab import Lab
from tests.netns.daemons import daemon
from tests.netns.holding import late, programs, routers
from tests.netns.ruled import done, rule, write
from tests.netns.traffic import both_families


@pytest.mark.promise("RULE-25")
@both_families
def test_who_is_called_by_a_link_is_found_by_news(family: int) -> None:
    """Its file is held, and known by another name: what it will be called is not known until it runs."""
    with Lab(main="both") as lab:
        programs(lab)
        lab.sh(f"mkdir /run/links; ln -s {late(family)} /run/links/called")
        write(lab, rule(f'exe = "{late(family)}"', 'name = "called"'))
        with daemon(lab):
            assert done(lab, "list")["rules"][0]["finds"] == "held"
            assert routers(lab.run(["/run/links/called"], timeout=30).stdout).keys() == {"wan1"}
            assert routers(lab.run([late(family)], timeout=30).stdout).keys() == {"wan2"}
