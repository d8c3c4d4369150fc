"""tests/netns/test_feed_traffic.py without cgroup BPF (conftest.py)."""

from tests.netns.test_feed_traffic import *  # noqa: F403
