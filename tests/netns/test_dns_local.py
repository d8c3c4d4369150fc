"""Resolvers on this machine or its links, and daemons that look up for others, are not asked, unless left."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.resolving import (
    BY_GLIBC,
    OURS4,
    OURS6,
    SYSTEM4,
    SYSTEM6,
    answering,
    asked,
    astray,
    look_up,
    stub_machine,
    wrong,
)
from tests.netns.running import ENVIRONMENT, run_by, unchanged, until

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@promise("DNS-01")
@pytest.mark.parametrize("given", [OURS4, OURS6], ids=["IPv4", "IPv6"])
def test_the_stub_on_loopback_is_not_asked(given: str) -> None:
    """Somebody answers there, for bystanders."""
    with stub_machine() as lab, answering(lab, "127.0.0.53"):
        with unchanged(lab):
            found = look_up(lab, *BY_GLIBC, "connected", "127.0.0.53", by=run_by("wan1", "--dns", given))
        assert not wrong({way: answer for way, answer in found.items() if "glibc" in way})
        assert not astray(lab)
        assert not asked(lab)
        look_up(lab, "sent", "127.0.0.53")
        until(lambda: asked(lab), what="a question")


@promise("DNS-01")
@pytest.mark.parametrize("socket", ["/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"])
def test_daemons_behind_unix_sockets_are_not_asked(socket: str) -> None:
    """nscd and nss-resolve: a look-up by them would leave as the daemon's own."""
    code = f"import socket; s = socket.socket(1); s.connect({socket!r}); s.recv(1)"
    connect = [sys.executable, "-S", "-c", code]
    with stub_machine(f"nameserver {SYSTEM4}\n") as lab, answering(lab, socket):
        by = run_by("wan1", "--dns", OURS4)
        assert not wrong(look_up(lab, *BY_GLIBC, by=by))
        assert not asked(lab)
        assert "FileNotFoundError" in lab.run([*by, *connect], env=ENVIRONMENT).stderr
        assert not asked(lab)
        # left alone, they are asked, as by a bystander
        assert lab.run([*run_by("wan1", "--dns", "system"), *connect], env=ENVIRONMENT).returncode == 0
        assert asked(lab)
        assert lab.run(connect).returncode == 0
        assert asked(lab)


@promise("DNS-01", "NEG-04")
def test_glibc_would_ask_nscd(lab: Lab) -> None:
    """As a bystander it does: the test above means something."""
    with answering(lab, "/run/nscd/socket"):
        look_up(lab, *BY_GLIBC)
        assert asked(lab)
        assert not wrong(look_up(lab, *BY_GLIBC, by=run_by("wan1", "--dns", OURS4)))
        assert not asked(lab)
    lab.sh("rm -r /run/nscd")


@promise("DNS-03", "CLI-12")
@pytest.mark.parametrize("family", [4, 6])
def test_dns_system_leaves_look_ups_alone(lab: Lab, family: int) -> None:
    answers = look_up(
        lab, *BY_GLIBC, "sent", (SYSTEM4, SYSTEM6)[family == 6], by=run_by("wan1", "--dns", "system")
    )
    assert not wrong(answers, "wan2")
    assert astray(lab)


@promise("DNS-01")
@pytest.mark.parametrize("given", [OURS4, OURS6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("on", ["wan1", "wan2"])
@pytest.mark.parametrize("way", ["connected", "sent"])
def test_a_link_local_resolver_is_not_asked(given: str, on: str, way: str) -> None:
    """By connect() its place is taken by the route's server. A datagram that is sent without one has an
    adapter already, and a family: what does not fit the server is refused and not let out."""
    with Lab(gateway6="link-local") as lab:
        lab.path("/etc/resolv.conf").write_text(f"nameserver fe80::1%{on}\nnameserver {SYSTEM4}\n")
        (answer,) = look_up(lab, way, f"fe80::1%{on}", by=run_by("wan1", "--dns", given)).values()
        fits = way == "connected" or (given == OURS6 and on == "wan1")
        assert (answer["router"], answer["error"]) == (("wan1", "") if fits else ("", "ENETUNREACH"))
        assert not astray(lab)
