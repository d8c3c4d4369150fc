"""tests/netns/test_paths.py without cgroup BPF (conftest.py)."""

from tests.netns.test_paths import *  # noqa: F403
