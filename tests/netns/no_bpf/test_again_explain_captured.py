"""tests/netns/test_explain_captured.py without cgroup BPF (conftest.py)."""

from tests.netns.test_explain_captured import (
    house,  # noqa: F401
    test_packets_go_as_was_explained,  # noqa: F401
)
