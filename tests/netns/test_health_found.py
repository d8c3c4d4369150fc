"""What checks find: gateways that die behind a carrier, and each way in which a server can fail."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.checking import NOBODY, checks, deafen, found, hang, kind_of_check, pages, states
from tests.netns.daemons import daemon
from tests.netns.pages import FAILING, SLOW
from tests.netns.running import until
from tests.netns.test_reload import configure
from tests.netns.traffic import SERVER, both_families

promise = pytest.mark.promise


@promise("HEALTH-03", "HEALTH-02")
@pytest.mark.parametrize("kind", ["ping", "gateway", "tcp", "dns", "http"])
@both_families
def test_a_dead_gateway_behind_a_carrier_is_found_in_time(family: int, kind: str) -> None:
    interval, timeout, down, up = 0.4, 0.3, 3, 2
    with Lab(main="both", families={"wan1": str(family)}) as lab, pages(lab.wan1):  # type: ignore[dict-item]
        one = kind_of_check(kind, family)
        configure(lab, checks("wan1", one, interval=interval, timeout=timeout, down=down, up=up, jitter=0.5))
        with daemon(lab) as running:
            until(lambda: found(lab, "wan1")["state"] == "up", 15)
            time.sleep(interval * FACTOR)
            since = found(lab, "wan1")["since"]
            deafen(lab.wan1)
            deaf = time.time()
            until(lambda: found(lab, "wan1")["state"] == "down", 15)
            told = found(lab, "wan1")
            took = told["since"] - deaf
            assert took <= (down * interval + timeout) * FACTOR + 0.25, "later than promised"
            assert took >= (down - 1) * interval * 0.5 * FACTOR, "before there were so many results"
            assert told["since"] > since
            assert "no answer in" in told["reason"]
            assert ", 3 times in a row" in told["reason"]
            assert f"the health of adapter wan1 is down: {told['reason'].split(';')[0]}" in running.log()
            assert lab.ip("-br link show wan1").split()[1] == "UP"
            deafen(lab.wan1, on=False)
            until(lambda: found(lab, "wan1")["state"] == "up", 15)
            assert not found(lab, "wan1")["reason"]
        lab.settle()
        assert not lab.wan2.packets(), "of a check that main would have sent there"


def certificate(folder: Path) -> tuple[str, str]:
    """One for the servers of the lab and `good.test`, signed by itself; and its key."""
    names = f"subjectAltName=DNS:good.test,IP:{SERVER[4]},IP:{SERVER[6]}"
    made, key = folder / "certificate.pem", folder / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    words += [
        "-days",
        "1",
        "-subj",
        "/CN=good.test",
        "-addext",
        names,
        "-out",
        str(made),
        "-keyout",
        str(key),
    ]
    subprocess.run(words, check=True, capture_output=True)
    return str(made), str(key)


def https(family: int, name: str = "", path: str = "/up") -> str:
    """A check by it. name: instead of the address."""
    to = f"[{SERVER[family]}]" if family == 6 else SERVER[family]
    return f'http = "https://{name or to}{path}"' + (f'\naddress = "{SERVER[family]}"' if name else "")


@promise("HEALTH-04")
@both_families
def test_each_failure_has_its_words(family: int, tmp_path: Path) -> None:
    server = SERVER[family]
    at = f"[{server}]" if family == 6 else server
    nobody = NOBODY[family].format(1)
    expected = {
        f'tcp = "{at}:7"': "refused",
        f'ping = "{nobody}"': "no answer in",
        f'dns = {{ server = "{FAILING[family]}", name = "a.test" }}': "answered SERVFAIL",
        f'dns = {{ server = "{nobody}", name = "a.test" }}': "no answer in",
        f'http = "http://{at}/500"': "answered 500",
        f'http = "http://{at}/200"\nstatus = [204]': "answered 200",
        f'http = "http://{at}/close"': "closed without an answer",
        f'http = "http://{at}/slow"': "no answer in",
        f'http = "http://{at}:7000/"': "the answer is no HTTP",
        f'http = "https://{at}:7000/"': "no TLS",
        https(family): "its certificate is not trusted: self-signed certificate",
    }
    with Lab(main="both") as lab, pages(lab.wan1, certificate=certificate(tmp_path)):
        hang(lab.wan1)
        configure(lab, checks("wan1", *expected, interval=0.9, timeout=0.8, down=2))
        with daemon(lab):
            until(lambda: list(states(lab, "wan1").values()) == ["down"] * len(expected), 20)
            told = found(lab, "wan1")
            time.sleep(SLOW * FACTOR)
            lab.settle()
            assert not lab.wan2.packets(), "for late answers, too"
        reasons = [one["reason"] for one in told["checks"]]
        for reason, words in zip(reasons, expected.values(), strict=True):
            assert words in reason
            assert reason.endswith(", 2 times in a row")
        assert told["state"] == "down"
        assert all(reason in told["reason"] for reason in reasons)


@promise("HEALTH-04")
@both_families
def test_a_certificate_is_trusted_for_its_names_only(family: int, tmp_path: Path) -> None:
    made = certificate(tmp_path)
    each = {https(family): "up", https(family, "good.test"): "up", https(family, "other.test"): "down"}
    with Lab(main="both") as lab, pages(lab.wan1, certificate=made):
        lab.path("/etc/procroute").mkdir(exist_ok=True)
        lab.path("/etc/procroute/trusted.pem").write_text(Path(made[0]).read_text())
        configure(lab, checks("wan1", *each, interval=0.5, down=2))
        with daemon(lab, env={"SSL_CERT_FILE": "/etc/procroute/trusted.pem"}):
            until(lambda: list(states(lab, "wan1").values()) == list(each.values()), 20)
            last = found(lab, "wan1")["checks"][-1]
            assert "its certificate is not trusted: Hostname mismatch" in last["reason"]


@promise("HEALTH-04", "HEALTH-02")
@both_families
def test_a_slow_answer_within_the_time_is_one(family: int) -> None:
    at = f"[{SERVER[family]}]" if family == 6 else SERVER[family]
    with Lab(main="both") as lab, pages(lab.wan1):
        slow = f'http = "http://{at}/slow"'
        configure(lab, checks("wan1", slow, interval=SLOW + 2, timeout=SLOW + 2))
        with daemon(lab):
            until(lambda: found(lab, "wan1")["state"] == "up", 15)


@promise("HEALTH-03")
@both_families
def test_all_are_needed_where_that_is_said(family: int) -> None:
    with Lab(main="both") as lab:
        at = f"[{SERVER[family]}]" if family == 6 else SERVER[family]
        each = [kind_of_check("ping", family), f'tcp = "{at}:7"']
        configure(lab, checks("wan1", *each, need="all", interval=0.4, down=2))
        with daemon(lab):
            until(lambda: found(lab, "wan1")["state"] == "down", 15)
            assert sorted(states(lab, "wan1").values()) == ["down", "up"]
            assert "refused" in found(lab, "wan1")["reason"]
