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


def uid_of(word: str) -> int | None:
    """The uid that a name, or a number as a rule writes it, stands for; None: nobody is called so."""
    if word.isascii() and word.isdigit() and str(int(word)) == word:
        return int(word)
    try:
        return pwd.getpwnam(word).pw_uid
    except (KeyError, ValueError):
        return None


def is_user(name: str) -> bool:
    """Whether somebody is called so."""
    try:
        pwd.getpwnam(name)
    except (KeyError, ValueError):
        return False
    return True
