"""What `unit wrap` writes, and what it reads of others' files."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from procroute.cli import unit_anchor
from procroute.cli.route_options import written
from procroute.core.unit_fit import completed, instance
from procroute.core.unit_texts import Wrapped, Wrapping, anchor, drop_in, own_slice, words_of, wrapped
from procroute.errors import ProcrouteError
from procroute.protocol import Options, Wanted

pytestmark = pytest.mark.promise("UNIT-15")
ROUTES = (
    Options("wan1"),
    Options("wg0,wan1", strict=True, existing="reset", hold=2.5, on_down="block"),
    Options("wan1", gateway4="192.0.2.1", gateway6="2001:db8::1", dns=["192.0.2.53", "2001:db8::53"]),
    Options("wan1", dns=[], inbound=True, on_down="main"),
)


@pytest.mark.parametrize("options", ROUTES)
def test_an_anchor_asks_for_the_route_that_was_meant(options: Options) -> None:
    parser = argparse.ArgumentParser()
    unit_anchor.add(parser.add_subparsers())
    given: argparse.Namespace = parser.parse_args(["anchor", *words_of(options)])
    asked: dict[str, Any] = written(given)
    wanted = Wanted(given.via, **asked)
    assert [getattr(wanted, f) for f in Options.__struct_fields__] == [
        getattr(options, f) for f in Options.__struct_fields__
    ]


def test_a_drop_in_says_what_it_was_written_for() -> None:
    wrapping = Wrapping("wg-home~strict", Options("wg-home", strict=True), stop=True)
    text = drop_in(wrapping)
    assert wrapped(text) == Wrapped(
        "wg-home --strict --on-down stop", r"procroute-wg\x2dhome\x7estrict.slice"
    )
    assert "BindsTo=sys-subsystem-net-devices-wg\\x2dhome.device\n" in text
    assert "Requires=procroute-wg\\x2dhome\\x7estrict.service\n" in text
    assert wrapped("[Service]\nSlice=procroute-wan1.slice\n") is None


def test_an_anchor_of_a_user_has_nothing_that_his_manager_cannot_do() -> None:
    wrapping = Wrapping("a%b", Options("a%b"))
    text = anchor(wrapping, ["/opt/a b/procroute"], {"PYTHONPATH": "/opt"}, user=True)
    assert 'ExecStart="/opt/a b/procroute" unit anchor --via a%%b\n' in text
    assert "Description=Route a%%b of units\n" in text
    assert "procrouted" not in text
    assert "CapabilityBoundingSet" not in text
    assert "CapabilityBoundingSet=\n" in anchor(wrapping, ["procroute"], {})


@pytest.mark.parametrize(
    ("text", "slice_"),
    [
        ("[Service]\nSlice=a.slice\n", "a.slice"),
        ("[Service]\n Slice = a.slice \nSlice=b.slice\n", "b.slice"),
        ("[Service]\nSlice=a.slice\nSlice=\n", ""),
        ("[Unit]\nSlice=a.slice\n[Service]\n# Slice=a.slice\nSliceX=1\n", ""),
        ("[Service]\nExecStart=x \\\nSlice=a.slice\n", ""),
    ],
)
def test_a_slice_of_its_own_is_seen(text: str, slice_: str) -> None:
    assert own_slice(text) == slice_


def test_names_of_services() -> None:
    assert completed("backup") == "backup.service"
    assert completed("backup.service") == "backup.service"
    assert completed("org.example.app") == "org.example.app.service"
    assert completed("a@b.c") == "a@b.c.service"
    assert completed("a@") == "a@.service"
    assert instance("a@.service") == "a@procroute.service"
    for name in ("", " ", "-x", "a/b", "x.socket", "@x", "@", ".service"):
        with pytest.raises(ProcrouteError):
            completed(name)
