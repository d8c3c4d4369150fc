"""From what the kernel answers to what a person can do about it."""

from __future__ import annotations

import errno
import os

from procroute.errors import ProcrouteError

_OPTIONS = {
    (errno.EOPNOTSUPP, "rule"): "CONFIG_IP_MULTIPLE_TABLES, CONFIG_IPV6_MULTIPLE_TABLES",
    (errno.EAFNOSUPPORT, "rule"): "CONFIG_IP_MULTIPLE_TABLES, CONFIG_IPV6_MULTIPLE_TABLES",
    (errno.EOPNOTSUPP, "dump"): "CONFIG_IP_MULTIPLE_TABLES, CONFIG_IPV6_MULTIPLE_TABLES",
    (errno.ENOENT, "nft"): "CONFIG_NF_TABLES, CONFIG_NFT_SOCKET",
    (errno.EPROTONOSUPPORT, "nft"): "CONFIG_NF_TABLES",
}


def refused(number: int, kind: str, what: str) -> ProcrouteError:
    """The error for errno `number` on a thing of this kind (rule, entry, nft, cgroup); `what` says which."""
    option = _OPTIONS.get((number, kind))
    if option:
        return ProcrouteError("kernel-option", f"this kernel cannot {what}", f"it needs {option}")
    if number in (errno.EPERM, errno.EACCES):
        return ProcrouteError(
            "not-root", f"not permitted: {what}", "run it as root; in a container it needs CAP_NET_ADMIN"
        )
    return ProcrouteError("kernel-refused", f"the kernel refused to {what}: {os.strerror(number)}")
