"""tests/netns/test_paths_lan.py without cgroup BPF (conftest.py)."""

from tests.netns.test_paths_lan import *  # noqa: F403
