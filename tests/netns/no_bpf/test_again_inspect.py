"""tests/netns/test_inspect.py without cgroup BPF (conftest.py)."""

from tests.netns.test_inspect import *  # noqa: F403
