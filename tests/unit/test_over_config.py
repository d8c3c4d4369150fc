"""`over` of `[adapter.NAME]`: what it can say, and what is said of what it cannot."""

from __future__ import annotations

import pytest

from procroute import config
from procroute.errors import ProcrouteError
from procroute.tunnels import Tunnel

pytestmark = pytest.mark.promise("OVER-01")
FILE = "/etc/procroute/config.toml"


def wrong(text: str) -> ProcrouteError:
    """How a text is refused."""
    with pytest.raises(ProcrouteError) as caught:
        config.parse(text, FILE)
    assert caught.value.code == "config-bad"
    return caught.value


@pytest.mark.parametrize(
    ("text", "tunnel"),
    [
        ('over = "lte"', Tunnel("wg0", "lte", file=FILE, line=2)),
        ('need = "any"\nover = "wan1,wan2"', Tunnel("wg0", "wan1,wan2", file=FILE, line=3)),
        (
            'over = "lte"\nover_unit = "openvpn@x.service"',
            Tunnel("wg0", "lte", ("openvpn@x.service",), file=FILE, line=2),
        ),
        (
            'over = "lte"\nover_exe = ["/usr/sbin/openvpn", "/opt/vpn/*"]',
            Tunnel("wg0", "lte", exe=("/usr/sbin/openvpn", "/opt/vpn/*"), file=FILE, line=2),
        ),
    ],
)
def test_what_can_be_said(text: str, tunnel: Tunnel) -> None:
    found = config.parse(f"[adapter.wg0]\n{text}\n", FILE)
    assert found.tunnels == {"wg0": tunnel}
    assert found.tunnels["wg0"].place == f"{FILE}:{tunnel.line}"


def test_checks_and_over_stand_beside_each_other() -> None:
    found = config.parse('[adapter.wg0]\nover = "lte"\n[[adapter.wg0.check]]\nping = "gateway"\n', FILE)
    assert list(found.tunnels) == ["wg0"]
    assert len(found.adapter["wg0"].checks) == 1


def test_without_over_there_is_no_tunnel() -> None:
    assert config.parse('[adapter.wg0]\nneed = "all"\n', FILE).tunnels == {}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('over_unit = "x.service"', 2, "adapter.wg0.over_unit says whose, and not over what"),
        ('\nover_exe = "/x"', 3, "adapter.wg0.over_exe says whose, and not over what"),
        ('over = "lte"\nover_exe = "openvpn"', 3, "adapter.wg0.over_exe must be a path from /: openvpn"),
        ('over = "lte"\nover_unit = "a/b"', 3, "adapter.wg0.over_unit is no name of a unit: a/b"),
        ('over = ""', 2, "adapter.wg0.over is empty"),
        ("over = 4", 2, "adapter.wg0.over must be a text, not a number"),
        ('over = "a,a"', 2, "adapter.wg0.over cannot be so"),
        ('ovre = "lte"', 2, "adapter.wg0.ovre is unknown"),
    ],
)
def test_what_cannot_is_said_with_file_line_and_key(text: str, line: int, says: str) -> None:
    found = wrong(f"[adapter.wg0]\n{text}\n")
    assert found.message.startswith(f"{FILE}:{line}: {says}")


def test_tunnels_are_said_of_adapters_only() -> None:
    assert "tunnels is unknown" in wrong("[tunnels.wg0]\nover = 'x'\n").message


CIRCLES = {
    '[adapter.wg0]\nover = "wg0"\n': (2, "wg0 over wg0"),
    '[adapter.wg0]\nover = "lte,wg0"\n': (2, "wg0 over lte,wg0 (wg0)"),
    '[adapter.wg0]\nover = "lte"\n[adapter.lte]\nover = "wg0"\n': (2, "wg0 over lte over wg0"),
    '[route.vpn]\nadapters = ["wan1", "wg0"]\n[adapter.wg0]\nover = "vpn"\n': (4, "wg0 over vpn (wg0)"),
    '[route.r]\nadapters = ["b"]\n[adapter.a]\nover = "r"\n'
    '[adapter.b]\nover = "c"\n[adapter.c]\nover = "a"\n': (
        4,
        "a over r (b) over c over a",
    ),
    # The circle is another tunnel's: that one is named, and nobody goes round for ever.
    '[adapter.a]\nover = "b"\n[adapter.b]\nover = "c"\n[adapter.c]\nover = "b"\n': (4, "b over c over b"),
}


@pytest.mark.promise("OVER-02")
@pytest.mark.parametrize("text", CIRCLES, ids=[said for _, said in CIRCLES.values()])
def test_circles_are_refused(text: str) -> None:
    line, said = CIRCLES[text]
    found = wrong(text)
    tunnel = said.partition(" ")[0]
    key = f"adapter.{tunnel}.over"
    assert found.message == f"{FILE}:{line}: {key} leads back to itself: {said}"
    assert f"a way that does not go by {tunnel}" in (found.hint or "")


@pytest.mark.promise("OVER-02")
@pytest.mark.parametrize(
    "text",
    [
        '[adapter.wg0]\nover = "wg1"\n[adapter.wg1]\nover = "lte"\n',
        '[route.wg0]\nadapters = ["lte"]\n[adapter.wg0]\nover = "wg0"\n',  # the route is meant
        '[route.a]\nadapters = ["wan1", "wan2"]\n[adapter.x]\nover = "a"\n[adapter.y]\nover = "a"\n',
    ],
)
def test_what_is_no_circle_is_taken(text: str) -> None:
    assert config.parse(text, FILE).tunnels
