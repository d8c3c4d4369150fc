"""What users are called (getpwuid(3))."""

from __future__ import annotations

import pwd


def user_name(uid: int) -> str:
    """Empty where the uid has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return ""


def spoken(uid: int) -> str:
    """For people: `ada`, or `uid 1000` where that has no name."""
    return user_name(uid) or f"uid {uid}"


def is_user(name: str) -> bool:
    """Whether somebody is called so."""
    try:
        pwd.getpwnam(name)
    except (KeyError, ValueError):
        return False
    return True
