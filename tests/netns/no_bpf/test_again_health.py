"""tests/netns/test_health.py without cgroup BPF (conftest.py)."""

from tests.netns.test_health import *  # noqa: F403
