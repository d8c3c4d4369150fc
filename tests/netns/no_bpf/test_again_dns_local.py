"""tests/netns/test_dns_local.py without cgroup BPF (conftest.py)."""

from tests.netns.test_dns_local import *  # noqa: F403
