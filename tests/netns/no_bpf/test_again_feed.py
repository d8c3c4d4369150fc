"""tests/netns/test_feed.py without cgroup BPF (conftest.py)."""

from tests.netns.test_feed import *  # noqa: F403
