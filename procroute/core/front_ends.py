"""Commands that have somebody else start the program, or move it away: what of it will not follow the route.

Told from CMD's words alone. What a script calls is met only when one of its processes has left.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

_Words = Sequence[str]
_WRAPPERS: Final = {
    *("env", "nice", "nohup", "setsid", "ionice", "stdbuf", "exec", "timeout", "dbus-run-session"),
}
"""What starts the command that follows it, as a child or in its place."""
_TAKING_A_WORD: Final = {"-n", "-c", "-u", "-C", "-o", "-e", "-S", "-s", "-k"}
"""Their options with a word behind them that is none of the command."""
_LOGIN: Final = {"runuser": "l", "sudo": "i"}
"""The option by which they open a login session."""
_BEFORE_A_NAME: Final = {
    *("-u", "--user", "-g", "--group", "-G", "--supp-group"),
    *("-h", "-p", "-r", "-t", "-C", "-D"),
}
"""Their options with a word behind them."""
_AS_ANOTHER: Final = "as another user of this machine: procroute run --user NAME -- CMD"


class Advice(Struct, frozen=True):
    """What is known of a command. text: what is wrong, empty where nothing is; hint: what works.

    refuse: it would not be routed at all. stay: it keeps its place where it does not see the user's manager.
    """

    text: str = ""
    hint: str = ""
    refuse: bool = False
    stay: bool = False


# flatpak asks the user's manager for a scope by the socket /run/user/UID/systemd/private, whatever the
# environment says, and goes on where it is when there is no such file (common/flatpak-run.c,
# flatpak_run_in_transient_unit, read as of August 2026).
_STAYS: Final = Advice(stay=True)


def advice(command: _Words, slice_name: str) -> Advice:
    """What is known of this command. slice_name: that of the route, for a command that works."""
    words = _without_wrappers(command)
    if not words:
        return Advice()
    directory, name = posixpath.split(words[0])
    if directory.endswith("/flatpak/exports/bin"):
        return _STAYS
    if directory == "/snap/bin" and name != "snap":
        return _snap(["snap", "run", name], slice_name)
    known = _KNOWN.get(name)
    return known(words, slice_name) if known else Advice()


def _without_wrappers(command: _Words) -> list[str]:
    """From the program on that is meant: `env A=1 timeout -k 1 5 sudo -u ada flatpak …` is flatpak."""
    words = list(command)
    while words:
        name = posixpath.basename(words[0])
        sudo = name == "sudo" and not _logs_in(words[1:], _LOGIN[name])
        if not sudo and name not in _WRAPPERS:
            break
        del words[0]
        while words and (words[0].startswith("-") or "=" in words[0]):
            if words.pop(0) in (_BEFORE_A_NAME if sudo else _TAKING_A_WORD) and words:
                del words[0]
        if name == "timeout":
            del words[:1]
    return words


def _flatpak(words: _Words, _: str) -> Advice:
    return _STAYS if "run" in words else Advice()


def _snap(words: _Words, slice_name: str) -> Advice:
    """snap run has a manager move it to a scope, unless it is in one that is called like the app.

    See snapd's sandbox/cgroup/tracking.go, ConfirmSystemdAppTracking: `snap.NAME.APP-….scope`.
    """
    plain = [w for w in words[1:] if not w.startswith("-")]
    if plain[:1] != ["run"] or len(plain) < 2:
        return Advice()
    name, _, app = plain[1].partition(".")
    unit = f"snap.{name}.{app or name}-procroute.scope"
    return Advice(
        f"snap has systemd take {plain[1]} out of the route before it starts",
        "while another command keeps the route: systemd-run --scope --uid=USER"
        f" --slice={shlex.quote(slice_name)} --unit={unit} snap run {plain[1]}",
        refuse=True,
    )


def _systemd_run(words: _Words, slice_name: str) -> Advice:
    kept = "".join(f" {option}" for option in ("--user", "--scope") if option in words)
    moved = "--scope" in words
    what = "leaves the route for a scope of its own" if moved else "has systemd start the command, elsewhere"
    return Advice(
        f"{posixpath.basename(words[0])} {what}",
        "give the command to procroute run itself; or, while another one keeps the route:"
        f" systemd-run{kept} --slice={shlex.quote(slice_name)} CMD",
        refuse=True,
    )


def _session(words: _Words, _: str) -> Advice:
    """pam_systemd(8) has logind move it to a session's scope, where the command's PAM stack has that."""
    name = posixpath.basename(words[0])
    if name in _LOGIN and not _logs_in(words[1:], _LOGIN[name]):
        return Advice()
    return Advice(
        f"{name} opens a login session on many systems, which takes the command off the route",
        _AS_ANOTHER,
    )


def _logs_in(words: _Words, letter: str) -> bool:
    """Whether there is that option before the command, alone or among others in a word."""
    left = list(words)
    while left and left[0].startswith("-") and left[0] != "--":
        option = left.pop(0)
        if option in ("-", "--login") or (option[1] != "-" and letter in option):
            return True
        if option in _BEFORE_A_NAME and left:
            del left[0]
    return False


def _machinectl(words: _Words, _: str) -> Advice:
    if not {"shell", "login", "start"} & {*words}:
        return Advice()
    return Advice("machinectl has systemd start the command, elsewhere", _AS_ANOTHER, refuse=True)


def _container(words: _Words, _: str) -> Advice:
    """The daemon makes containers, pulls and pushes; --cgroup-parent does not help: theirs is a network of
    their own, in which no mark of ours leads anywhere."""
    if not {"run", "start", "restart", "exec", "create", "build", "pull", "push", "up"} & {*words}:
        return Advice()
    name = posixpath.basename(words[0])
    return Advice(
        f"{name} has its daemon do the work: nothing of that is routed",
        "nor is a container in the route's slice (--cgroup-parent): it has a network of its own",
        refuse=True,
    )


def _podman(words: _Words, slice_name: str) -> Advice:
    if {"--remote", "-r"} & {*words}:
        return _container(words, slice_name)
    if not {"run", "start", "create"} & {*words} or "--cgroups=disabled" in words:
        return Advice()
    return Advice(
        "podman moves containers to cgroups of their own: they leave the route",
        "podman run --cgroups=disabled --network=host … stays",
    )


def _launcher(words: _Words, _: str) -> Advice:
    name = posixpath.basename(words[0])
    if name == "gio" and words[1:2] not in (["open"], ["launch"]):
        return Advice()
    return Advice(
        f"{name} may hand the work to the desktop, or to a program that is open already: that is not routed",
        "give the program itself to procroute run",
    )


def _asking(words: _Words, slice_name: str) -> Advice:
    name = posixpath.basename(words[0])
    if name == "systemctl" and not {"start", "restart", "reload-or-restart", "enable"} & {*words}:
        return Advice()
    return Advice(
        f"{name} asks another process to act: what that does is not routed",
        f"a unit is routed by Slice={slice_name} in it, while a command keeps the route",
    )


_KNOWN: Final[dict[str, Callable[[_Words, str], Advice]]] = {
    "flatpak": _flatpak,
    "snap": _snap,
    "systemd-run": _systemd_run,
    "run0": _systemd_run,
    "machinectl": _machinectl,
    **dict.fromkeys(("docker", "docker-compose", "nerdctl", "podman-remote"), _container),
    "podman": _podman,
    **dict.fromkeys(("gtk-launch", "gio", "xdg-open", "kioclient", "dex"), _launcher),
    **dict.fromkeys(("su", "login", "pkexec", *_LOGIN), _session),
    **dict.fromkeys(("systemctl", "gdbus", "busctl", "dbus-send", "at", "batch"), _asking),
}
