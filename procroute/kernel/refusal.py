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

_LASTING = frozenset(
    {
        *(errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSYS),
        *(errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT),
    }
)


def refused(why: int | OSError, kind: str, what: str) -> ProcrouteError:
    """The error for a refusal on a thing of this kind (rule, entry, nft, cgroup); `what` says which.

    why: an errno, or the exception, which need not have one (TimeoutError).
    """
    number = why if isinstance(why, int) else why.errno or 0
    option = _OPTIONS.get((number, kind))
    if option:
        return ProcrouteError("kernel-option", f"this kernel cannot {what}", f"it needs {option}")
    if (number, kind) == (errno.EROFS, "cgroup"):
        return ProcrouteError(
            "cgroup-missing",
            f"cgroup v2 is mounted read-only: cannot {what}",
            "mount -o remount,rw /sys/fs/cgroup (as root); a container needs it writable from outside",
        )
    if number in (errno.EPERM, errno.EACCES):
        return ProcrouteError(
            "not-root", f"not permitted: {what}", "run it as root; in a container it needs CAP_NET_ADMIN"
        )
    words = os.strerror(number) if number else str(why or "it did not say why")
    return ProcrouteError("kernel-refused", f"the kernel refused to {what}: {words}")


def may_pass(error: Exception) -> bool:
    """Whether trying again may help, by the errno: memory or buffers were short, something was busy or had
    just gone. It does not where something is not permitted, or the kernel has no such thing."""
    why = error if isinstance(error, OSError) else error.__cause__
    return isinstance(why, OSError) and why.errno not in _LASTING
