"""What a route does while its adapter is down, as the command line and rules say it."""

from __future__ import annotations

import json
from functools import partial

import pytest

from procroute.lab import Lab
from tests.netns.daemons import daemon
from tests.netns.inhabitants import PROBE, Inhabitant, bystander, commanded, routed
from tests.netns.running import procroute, until
from tests.netns.traffic import FAMILIES, SERVER, WAYS, astray
from tests.netns.uplinks import by, configured, failing_over, three, until_by

promise = pytest.mark.promise
MARKED = [PROBE[0], "-S", "-X", "marker=a", PROBE[-1]]
_ENDED = ("ECONNABORTED", "EPIPE", "ECONNRESET")


def _asked(lab: Lab, *words: str) -> str:
    answer = procroute(lab, *words)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def _caveats(lab: Lab, who: Inhabitant) -> dict[str, str]:
    explained = json.loads(_asked(lab, "explain", str(who.ask("hello").pid), "--json"))
    return {found["id"]: found["text"] for found in explained["caveats"]}


def _ended(command: Inhabitant, name: str) -> bool:
    return command.ask("again", name=name).error in _ENDED


@promise("FAIL-11")
def test_one_adapter_and_then_the_machines_own_way() -> None:
    with (
        three() as lab,
        routed(lab) as blocked,
        routed(lab, "--on-down", "main", "--hold", "0.5") as command,
    ):
        assert "on-down" not in _caveats(lab, blocked)
        assert "the machine's own way is taken" in _caveats(lab, command)["on-down"]
        shown = json.loads(_asked(lab, "status", "--json"))["routes"]
        assert {(one["on_down"], one["hold"]) for one in shown} == {("block", 10), ("main", 0.5)}
        assert "on_down main, hold 0.5" in " ".join(_asked(lab, "status").split())
        lab.wan1.carrier(False)
        until_by(command, "wan2")
        assert by(blocked) == ["ENETUNREACH", "ENETUNREACH"]
        assert not [w for f in FAMILIES for way in WAYS for w in astray(lab, command, way, f, lab.wan2)]
        lab.wan1.restore()
        until_by(command, "wan1", seconds=5)


@promise("FAIL-11")
@pytest.mark.parametrize("existing", ["keep", "reset"])
def test_connections_as_the_option_says_whatever_the_name_has(existing: str) -> None:
    other = {"keep": '"reset"', "reset": '"keep"'}[existing]
    text = failing_over("wan1", "wan2", hold=60, existing=other)
    options = ("--existing", existing, "--hold", "0.5")
    with three() as lab, configured(lab, text), routed(lab, *options, via="several") as command:
        lab.wan1.carrier(False)
        until_by(command, "wan2")
        for family in FAMILIES:
            assert command.ask("tcp", to=SERVER[family], keep=f"it{family}").router == "wan2"
        lab.wan1.restore()
        until_by(command, "wan1", seconds=5)
        for family in FAMILIES:
            if existing == "keep":
                assert command.ask("again", name=f"it{family}").said
            else:
                until(partial(_ended, command, f"it{family}"), 2)


@promise("FAIL-11")
def test_the_same_words_are_the_same_route() -> None:
    """By configuration, command line and rule: one number, one slice."""
    text = failing_over("wan1", "wan2", hold=2.5, on_down='"main"', existing='"reset"')
    words = ("--hold", "2.5", "--on-down", "main", "--existing", "reset")
    with (
        three() as lab,
        configured(lab, text),
        daemon(lab) as running,
        bystander(lab) as first,
        bystander(lab) as second,
        commanded(lab, MARKED),
    ):
        lab.sh("mkdir -p /etc/procroute/rules.d")
        _asked(lab, "assign", str(first.ask("hello").pid), "--via", "several")
        _asked(lab, "assign", str(second.ask("hello").pid), "--via", "wan1,wan2", *words)
        name = running.ps()[0]["route"]
        assert name.startswith("wan1,wan2~")
        slices = {_asked(lab, "unit", "slice", *words, "wan1,wan2"), _asked(lab, "unit", "slice", "several")}
        assert len(slices) == 1
        _asked(lab, "rules", "add", "--command", "*marker=a *", "--via", "wan1,wan2", *words)
        _asked(lab, "rules", "apply")
        until(lambda: {one["route"] for one in running.ps()} == {name} and len(running.ps()) == 3)
        (listed,) = json.loads(_asked(lab, "rules", "list", "--json"))["rules"]
        assert (listed["on_down"], listed["hold"], listed["existing"]) == ("main", 2.5, "reset")
        assert "on_down main, hold 2.5" in " ".join(_asked(lab, "rules", "list").split())
        lab.sh("rm /etc/procroute/rules.d/90-added.toml")


@promise("FAIL-11")
def test_what_changes_nothing_makes_no_other_route() -> None:
    with three() as lab:
        plain = _asked(lab, "unit", "slice", "wan1")
        same = ("--on-down", "block", "--hold", "3", "--existing", "reset")
        assert _asked(lab, "unit", "slice", *same, "wan1") == plain
        assert _asked(lab, "unit", "slice", "--on-down", "main", "wan1") != plain


@promise("FAIL-11")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--strict", "--on-down", "main"), "strict"),
        (("--strict", "--inbound"), "strict"),
        (("--hold", "-1"), "-1"),
        (("--hold", "nan"), "nan"),
        (("--on-down", "up"), "up"),
    ],
)
def test_what_cannot_be_is_refused(words: tuple[str, ...], said: str) -> None:
    with three() as lab:
        refused = procroute(lab, "run", "--via", "wan1", *words, "--", "true")
        assert refused.returncode in (2, 125)
        assert said in refused.stderr
        assert "Traceback" not in refused.stderr
