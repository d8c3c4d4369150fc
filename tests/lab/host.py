"""This machine, from outside any lab: what must not change, and which labs live on it."""

from __future__ import annotations

import os
import subprocess


def cgroup_names() -> set[str]:
    """Lab cgroups of the whole machine, seen by a fresh mount in a namespace of its own."""
    script = (
        "mount --make-rprivate / && mount -t tmpfs x /sys/fs/cgroup && mount -t cgroup2 x /sys/fs/cgroup"
        " && { find /sys/fs/cgroup -type d -name 'procroute-lab-*' 2>/dev/null || true; }"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=True, timeout=20
    )
    return {os.path.basename(line) for line in done.stdout.split()}


def the_host() -> dict[str, str]:
    """What of this machine must not change."""
    tables = "{ ip route show table all; ip -6 route show table all; }"
    commands = {
        "links": "ip -d link",
        "addresses": "ip -br address",
        "rules": "ip rule; ip -6 rule",
        "routes": f"{tables} | sed 's/ expires [0-9]*sec//'",
        "nft": "nft list ruleset",
        "mounts": "cat /proc/self/mountinfo",
        "netns": "ls /run/netns 2>&1",
        "etc": "ls -la --time-style=full-iso /etc /etc/iproute2",
        "resolver": "cat /etc/resolv.conf",
        "hostname": "hostname",
        "sysctls": "grep -r . /proc/sys/net/ipv[46]/conf /proc/sys/net/ipv4/neigh 2>/dev/null",
    }
    return {
        name: subprocess.run(
            ["sh", "-c", text], capture_output=True, text=True, check=False, timeout=20
        ).stdout
        for name, text in commands.items()
    }
