"""tests/netns/test_dns_helpers.py without cgroup BPF (conftest.py)."""

from tests.netns.test_dns_helpers import *  # noqa: F403
