"""tests/netns/test_moving_ends.py without cgroup BPF (conftest.py)."""

from tests.netns.test_moving_ends import *  # noqa: F403
