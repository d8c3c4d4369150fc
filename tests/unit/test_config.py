"""config.toml: what it does not know or cannot mean is refused, with file, key and a suggestion."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute import config
from procroute.config import Settings
from procroute.errors import Exit, ProcrouteError
from procroute.identity import Identity
from procroute.model import Route

FILE = "/etc/procroute/config.toml"


def refusal(text: str) -> ProcrouteError:
    """The error for a text."""
    with pytest.raises(ProcrouteError) as caught:
        config.parse(text, FILE)
    assert caught.value.code == "config-bad"
    assert caught.value.status == Exit.FAILED
    assert FILE in caught.value.message
    return caught.value


@pytest.mark.promise("ID-01")
def test_everything_can_be_set() -> None:
    lines = ["mark_mask = 0x00ff0000", "preference = 4000", "table = 9000", "adapter_table = 800000"]
    text = "\n".join(["[identity]", *lines, "protocol = 99"])
    assert config.parse(text, FILE) == Settings(Identity(0xFF_0000, 4000, 9000, 800_000, 99))


def test_the_belt_can_be_left_out() -> None:
    assert not config.parse("packet_marks = false\n[identity]", FILE).packet_marks


@pytest.mark.parametrize("text", ["", "[identity]", "# nothing", "packet_marks = true"])
def test_nothing_said_means_the_defaults(text: str) -> None:
    assert config.parse(text, FILE) == Settings()


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert config.read(tmp_path / "config.toml") == Settings()


@pytest.mark.promise("ERR-08")
@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("packet_marx = false", "packet_marx", "did you mean packet_marks?"),
        ("[identity]\nmark_maks = 1", "identity.mark_maks", "did you mean identity.mark_mask?"),
        ("[identity]\ntabel = 9000", "identity.tabel", "did you mean identity.table?"),
        ("[identty]\ntable = 9000", "identty", "did you mean identity?"),
        ("[identity]\nzzz = 1", "identity.zzz", "known here: mark_mask, preference"),
        ("colour = 1", "colour", "known here: identity"),
        ("identity = 3", "identity", "[identity]"),
    ],
)
def test_unknown_keys_are_named_with_what_was_meant(text: str, key: str, hint: str) -> None:
    error = refusal(text)
    assert key in error.message
    assert hint in error.hint


@pytest.mark.promise("ERR-08", "ID-01")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mark_mask", "0"),
        ("mark_mask", "-1"),
        ("mark_mask", "1"),
        ("mark_mask", "0x1ff"),
        ("mark_mask", "0x5"),
        ("mark_mask", "0x180000000"),
        ("mark_mask", '"0xff"'),
        ("preference", "0"),
        ("preference", "32467"),
        ("preference", "4400.0"),
        ("table", "255"),
        ("table", "true"),
        ("table", "699999"),
        ("adapter_table", "7400"),
        ("adapter_table", "4294967295"),
        ("protocol", "4"),
        ("protocol", "256"),
    ],
)
def test_values_that_make_no_sense_are_named(key: str, value: str) -> None:
    assert f"identity.{key}" in refusal(f"[identity]\n{key} = {value}").message


def test_what_is_not_toml_says_where() -> None:
    assert f"{FILE}:2: not TOML" in refusal("[identity]\ntable 9").message


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"# caf\n# \xff\xfe", r":2: not UTF-8: the byte 0xff"), (None, "cannot be read")],
    ids=["not text", "a folder"],
)
def test_what_cannot_be_read_is_said(content: bytes | None, what: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(ProcrouteError, match=what) as caught:
        config.read(file)
    assert str(file) in caught.value.message


@pytest.mark.promise("ERR-08")
@given(st.dictionaries(st.sampled_from(Identity.__struct_fields__), st.integers(-(2**40), 2**40)))
def test_any_numbers_are_taken_or_refused_by_name(values: dict[str, int]) -> None:
    text = "[identity]\n" + "\n".join(f"{key} = {value}" for key, value in values.items())
    try:
        identity = config.parse(text, FILE).identity
    except ProcrouteError as e:
        error = e
    else:
        assert identity.last_preference < 32766
        assert identity.numbers
        return
    assert FILE in error.message
    assert any(f"identity.{key}" in error.message for key in values)


@pytest.mark.parametrize("text", ["[identity", "zzz = 1", "[identity]\nmark_mask = 5", "\udcff"])
def test_who_is_stopped_by_the_file_is_told_the_way_out(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ProcrouteError) as raised:
        config.read(file)
    assert raised.value.hint.endswith("or move the file away, and the defaults hold")


def test_two_hints_are_parted_by_one_mark(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("packet_mark = true\n")
    with pytest.raises(ProcrouteError) as raised:
        config.read(file)
    assert raised.value.hint == "did you mean packet_marks? or move the file away, and the defaults hold"


@pytest.mark.promise("RULE-13")
def test_routes_can_have_names() -> None:
    text = """
    [route.vpn]
    adapters = ["wg0"]
    strict = true
    [route.lte]
    adapters = "wwan0"
    gateway4 = "192.0.2.1"
    gateway6 = "2001:db8::1"
    dns = ["192.0.2.53", "::ffff:192.0.2.54", "2001:db8::53"]
    [route.plain]
    adapters = ["wan1"]
    dns = "system"
    """
    servers = (IPv4Address("192.0.2.53"), IPv4Address("192.0.2.54"), IPv6Address("2001:db8::53"))
    assert config.parse(text, FILE).route == {
        "vpn": Route("wg0", strict=True),
        "lte": Route("wwan0", False, IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1"), servers),
        "plain": Route("wan1", dns=()),
    }


@pytest.mark.promise("RULE-13")
@pytest.mark.parametrize(
    ("says", "line", "what", "hint"),
    [
        ('adaptors = ["wan1"]', 2, "route.vpn.adaptors is unknown", "did you mean route.vpn.adapters?"),
        ("strict = true", 1, "route.vpn.adapters is missing", "wan1"),
        ('\nadapters = ["wan1", "wan1"]', 3, "wan1 is there twice", "name each once"),
        ('adapters = ["a", "b"]\ngateway4 = "192.0.2.1"', 3, "is of one adapter", "leave it out"),
        ('adapters = ["a", "b"]\nstrict = true\non_down = "main"', 4, "cannot be main on a strict route", ""),
        ('adapters = ["wan1"]\nlan = true', 3, "route.vpn.lan is not supported yet", "strict"),
        ('adapters = ["wan1"]\nstrict = 1', 3, "route.vpn.strict must be true or false, not a number", ""),
        ('adapters = ["wan1"]\nhold = -1', 3, "route.vpn.hold must be at least 0, not -1", ""),
        ('adapters = ["wan1"]\nhold = "10s"', 3, "route.vpn.hold must be a number", "hold = 10"),
        ('adapters = ["wan1"]\ngateway4 = "::1"', 3, "route.vpn.gateway4 cannot be so: ::1", ""),
        (
            'adapters = ["wan1"]\ngateway = "192.0.2.1"',
            3,
            "gateway is unknown",
            "route.vpn.gateway4 or route.vpn.gateway6?",
        ),
        ('adapters = ["wan1"]\ndns = ["fe80::1"]', 3, "route.vpn.dns cannot be so: fe80::1", ""),
        ('adapters = ["a/b"]', 2, "route.vpn.adapters is no name of an adapter", "procroute adapters"),
    ],
)
def test_what_a_route_cannot_be_is_said_with_its_line(says: str, line: int, what: str, hint: str) -> None:
    error = refusal(f"[route.vpn]\n{says}")
    assert error.message.startswith(f"{FILE}:{line}: ")
    assert what in error.message
    assert hint in error.hint


@pytest.mark.promise("RULE-13")
@pytest.mark.parametrize("name", ["a/b", "", "-x", "a b", "wan1~strict", "\\u001b[31m", "x" * 65])
def test_names_of_routes_are_plain(name: str) -> None:
    error = refusal(f'[route."{name}"]\nadapters = ["wan1"]')
    assert "is no name for a route" in error.message
    assert error.message.isprintable()


def test_the_page_has_the_limits_that_are_enforced() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    limits = dict(re.findall(r"^\| (\w+) \| (.*) \|$", page, re.MULTILINE))
    for key in ("preference", "table", "protocol"):
        low, high = map(int, re.findall(r"\d+", limits[key])[:2])
        for value in (low, high):
            config.parse(f"[identity]\n{key} = {value}", "f")
        for value in (low - 1, high + 1):
            with pytest.raises(ProcrouteError):
                config.parse(f"[identity]\n{key} = {value}", "f")
