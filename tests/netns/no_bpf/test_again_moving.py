"""tests/netns/test_moving.py without cgroup BPF (conftest.py)."""

from tests.netns.test_moving import *  # noqa: F403
