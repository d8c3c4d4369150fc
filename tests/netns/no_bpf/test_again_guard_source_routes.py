"""tests/netns/test_guard_source_routes.py without cgroup BPF (conftest.py)."""

from tests.netns.test_guard_source_routes import *  # noqa: F403
