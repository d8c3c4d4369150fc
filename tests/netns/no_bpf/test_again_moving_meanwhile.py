"""tests/netns/test_moving_meanwhile.py without cgroup BPF (conftest.py)."""

from tests.netns.test_moving_meanwhile import *  # noqa: F403
