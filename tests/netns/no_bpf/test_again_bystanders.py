"""tests/netns/test_bystanders.py without cgroup BPF (conftest.py)."""

from tests.netns.test_bystanders import *  # noqa: F403
