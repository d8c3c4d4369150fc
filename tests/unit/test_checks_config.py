"""`[adapter.NAME]` and its checks: what they can say, and what is said of what they cannot."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from procroute import config
from procroute.checks import Check, Checked, Pace
from procroute.errors import ProcrouteError
from procroute.model import Family

pytestmark = pytest.mark.promise("HEALTH-09")
FILE = "/etc/procroute/config.toml"
HEAD = "[[adapter.wan1.check]]\n"
V4, V6 = ip_address("192.0.2.80"), ip_address("2001:db8::80")


@pytest.mark.parametrize(
    ("text", "check", "words"),
    [
        ('ping = "192.0.2.80"', Check("ping", V4), "ping 192.0.2.80"),
        ('ping = "::ffff:192.0.2.80"', Check("ping", V4), "ping 192.0.2.80"),
        ('ping = "gateway"', Check("ping"), "ping the IPv4 gateway"),
        ('tcp = "192.0.2.80:443"', Check("tcp", V4, 443), "tcp 192.0.2.80:443"),
        ('tcp = "[2001:db8::80]:443"', Check("tcp", V6, 443), "tcp [2001:db8::80]:443"),
        ('tcp = "gateway:53"', Check("tcp", None, 53), "tcp the IPv4 gateway:53"),
        (
            'dns = { server = "192.0.2.80", name = "example.org" }',
            Check("dns", V4, 53, "example.org"),
            "dns example.org at 192.0.2.80",
        ),
        (
            'http = "http://192.0.2.80"',
            Check("http", V4, 80, "192.0.2.80", "/"),
            "http 192.0.2.80/ at 192.0.2.80",
        ),
        (
            'http = "https://example.org:8443/up?key=secret"\naddress = "2001:db8::80"\nstatus = [204]',
            Check("http", V6, 8443, "example.org", "/up?key=secret", True, (204,)),
            "https example.org/up at 2001:db8::80",
        ),
        ('http = "http://gateway/"', Check("http", None, 80, "", "/"), "http / at the IPv4 gateway"),
        ('ping = "192.0.2.80"\ninterval = 1', Check("ping", V4, pace=Pace(1, 1)), "ping 192.0.2.80"),
        (
            'ping = "192.0.2.80"\ninterval = 60\ntimeout = 9.5\nup = 1\ndown = 7\njitter = 0',
            Check("ping", V4, pace=Pace(60, 9.5, 1, 7, 0)),
            "ping 192.0.2.80",
        ),
    ],
)
def test_each_kind_can_be_said(text: str, check: Check, words: str) -> None:
    assert config.parse(HEAD + text, FILE).adapter == {"wan1": Checked((check,))}
    assert check.words(check.families[0]) == words
    assert check.families == (tuple(Family) if check.address is None else (Family.of(check.address),))


def test_what_is_of_the_adapter() -> None:
    text = '[adapter.wan1]\nneed = "all"\ngateway4 = "198.51.100.1"\n' + HEAD + 'ping = "gateway"'
    found = config.parse(text, FILE).adapter["wan1"]
    assert (found.need, found.gateway4, len(found.checks)) == ("all", IPv4Address("198.51.100.1"), 1)


@pytest.mark.parametrize(
    ("line", "text", "message", "hint"),
    [
        (
            2,
            'pign = "192.0.2.1"',
            "adapter.wan1.check.pign is unknown",
            "did you mean adapter.wan1.check.ping?",
        ),
        (2, 'ping = "example.org"', "check.ping cannot be so: 'example.org' is no address", ""),
        (2, 'ping = "127.0.0.1"', "nobody's behind an adapter", ""),
        (2, 'ping = "fe80::1"', "link-local", ""),
        (3, 'ping = "192.0.2.1"\ninterval = 0.1', "interval must be 0.2 to 3600 seconds, not 0.1", ""),
        (3, 'ping = "192.0.2.1"\ninterval = nan', "interval must be 0.2 to 3600 seconds", ""),
        (3, 'ping = "192.0.2.1"\ninterval = "5s"', "interval must be a number, not a text", "interval = 5"),
        (3, 'ping = "192.0.2.1"\ninterval = "1m"', "interval must be a number, not a text", "without a unit"),
        (3, 'ping = "192.0.2.1"\ntimeout = 9', "timeout is longer than the interval, 5 s", ""),
        (3, 'ping = "192.0.2.1"\nup = 0', "up must be 1 to 100 in a row, not 0", ""),
        (3, 'ping = "192.0.2.1"\ndown = 101', "down must be 1 to 100", ""),
        (3, 'ping = "192.0.2.1"\njitter = 1', "jitter must be 0 to 0.9", ""),
        (1, 'ping = "192.0.2.1"\ntcp = "192.0.2.1:1"', "has ping and tcp", "one of: ping, tcp, dns, http"),
        (1, "interval = 5", "says not what is asked", "one of: ping, tcp, dns, http"),
        (2, 'tcp = "192.0.2.1"', "write ADDRESS:PORT", ""),
        (2, 'tcp = "2001:db8::1:80"', "write ADDRESS:PORT", ""),
        (2, 'tcp = "192.0.2.1:70000"', "'70000' is no port", ""),
        (2, 'dns = { server = "x", name = "a" }', "dns.server cannot be so", ""),
        (2, 'dns = { server = "192.0.2.1", name = "a..b" }', "dns.name cannot be so", ""),
        (2, 'dns = { server = "192.0.2.1" }', "check.dns has no name", ""),
        (2, 'http = "http://example.org"', "names are not looked up", "give address"),
        (2, 'http = "ftp://192.0.2.1"', "write http://HOST/PATH", ""),
        (2, 'http = "http://u:p@192.0.2.1"', "no user, password", ""),
        (2, 'http = "http://192.0.2.1:99999/"', "check.http cannot be so", ""),
        (3, 'http = "http://192.0.2.1"\nstatus = [20]', "status has what is no status", "three digits"),
        (3, 'http = "http://192.0.2.1"\nstatus = []', "status has what is no status", "three digits"),
        (3, 'ping = "192.0.2.1"\nstatus = [200]', "status is for http, not for ping", ""),
        (3, f'ping = "192.0.2.1"\n{HEAD}ping = "192.0.2.1"', "is there twice", ""),
    ],
)
def test_what_cannot_be_is_said_with_its_line(line: int, text: str, message: str, hint: str) -> None:
    with pytest.raises(ProcrouteError) as caught:
        config.parse(HEAD + text, FILE)
    assert f"{FILE}:{line}: adapter.wan1.check" in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("adapter = 1", "adapter must be a table", "[[adapter.NAME.check]]"),
        ("[adapter]\nwan1 = 1", "adapter.wan1 must be a table", "[[adapter.wan1.check]]"),
        ('[adapter.wan1.check]\nping = "192.0.2.1"', "is one of several", "[[adapter.wan1.check]]"),
        ('[adapter.wan1]\nneed = "some"', "need cannot be 'some'", "one of: any, all"),
        ("[adapter.wan1]\nneeds = 1", "adapter.wan1.needs is unknown", "did you mean adapter.wan1.need?"),
        ('[adapter.wan1]\ngateway4 = "2001:db8::1"', "gateway4 cannot be so", ""),
        ('[adapter.wan1]\ndns = "here"', "adapter.wan1.dns cannot be so: 'here'", ""),
        ('[adapter.wan1]\ndns = ["fe80::1"]', "link-local", ""),
        ('[adapter.wan1]\ndns = "system"', "adapter.wan1.dns must be addresses", "[route.NAME]"),
        ('[adapter."a b"]', "is no name of an adapter", "procroute adapters"),
        (
            "".join(f"{HEAD}ping = '192.0.2.{n}'\n" for n in range(1, 255))
            + "".join(f"[[adapter.wan2.check]]\nping = '192.0.2.{n}'\n" for n in range(3)),
            "adapter has 257 checks; 256 are allowed",
            "",
        ),
    ],
)
def test_what_an_adapter_cannot_be_is_said(text: str, message: str, hint: str) -> None:
    with pytest.raises(ProcrouteError) as caught:
        config.parse(text, FILE)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.promise("DNS-11")
def test_an_adapter_is_given_name_servers() -> None:
    both = config.parse(
        '[adapter.wan1]\ndns = ["192.0.2.53", "2001:db8::53"]\n[adapter.wan2]\nneed = "all"', FILE
    )
    assert {name: [*map(str, of)] for name, of in both.given_servers.items()} == {
        "wan1": ["192.0.2.53", "2001:db8::53"]
    }
    assert [*map(str, config.parse('[adapter.wan1]\ndns = "192.0.2.53"', FILE).given_servers["wan1"])] == [
        "192.0.2.53"
    ]
