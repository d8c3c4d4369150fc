"""tests/netns/test_dns.py without cgroup BPF (conftest.py)."""

from tests.netns.test_dns import *  # noqa: F403
