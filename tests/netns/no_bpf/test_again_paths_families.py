"""tests/netns/test_paths_families.py without cgroup BPF (conftest.py)."""

from tests.netns.test_paths_families import *  # noqa: F403
