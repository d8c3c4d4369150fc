"""tests/netns/test_failover.py without cgroup BPF (conftest.py)."""

from tests.netns.test_failover import *  # noqa: F403
