"""tests/netns/test_dns_servers.py without cgroup BPF (conftest.py)."""

from tests.netns.test_dns_servers import *  # noqa: F403
