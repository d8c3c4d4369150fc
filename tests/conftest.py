"""What every test shares: root is asked for clearly, and promises are named by ids that exist."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest
from rich.console import Console

from tests import dns_matrix, promises

HERE = Path(__file__).parent
NEED_ROOT = [HERE / "netns", HERE / "lab", HERE / "systemd", HERE / "soak"]

# No database of examples: tests run as root. The same examples run everywhere in CI.
hypothesis.settings.register_profile(
    "procroute", database=None, deadline=None, derandomize="CI" in os.environ
)
hypothesis.settings.load_profile("procroute")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--promises", action="store_true", help="list each promise and its tests, run nothing")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(*ids): the lines of docs/promises.md that this test holds")
    config.addinivalue_line(
        "markers", "root: needs root (all of tests/netns, tests/lab, tests/systemd and tests/soak does)"
    )
    config.addinivalue_line(
        "markers", "not_sandboxed(why): tests.netns.sandbox leaves it out: its machine or unit is another"
    )
    if config.option.promises:
        config.option.verbose = -2


def pytest_collection_finish(session: pytest.Session) -> None:
    if unknown := promises.unknown(session.items, promises.read()):
        raise pytest.UsageError(*unknown)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    if not session.config.option.promises:
        return None
    if missing := promises.show(session.items, Console()):
        raise pytest.UsageError(f"no test holds {', '.join(missing)}")
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    kernel = any(folder in item.path.parents for folder in NEED_ROOT) or item.get_closest_marker("root")
    if kernel and os.geteuid() != 0:
        pytest.fail("this test needs root, for namespaces of its own; `make test` asks for it", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [r for key in ("passed", "failed") for r in terminalreporter.stats.get(key, ())]
    if cells := dns_matrix.found(reports):
        terminalreporter.section("look-ups (docs/dns.md)")
        terminalreporter.write_line("\n".join(dns_matrix.table(cells)))
