"""tests/netns/test_dns_sources.py without cgroup BPF (conftest.py)."""

from tests.netns.test_dns_sources import *  # noqa: F403
