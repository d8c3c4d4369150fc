"""tests/netns/test_many_runs.py without cgroup BPF (conftest.py)."""

from tests.netns.test_many_runs import *  # noqa: F403
