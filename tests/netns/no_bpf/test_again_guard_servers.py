"""tests/netns/test_guard_servers.py without cgroup BPF (conftest.py)."""

from tests.netns.test_guard_servers import *  # noqa: F403
