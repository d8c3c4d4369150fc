"""A rule file as it is written. Its JSON schema is made from this (schema.py), so keys are described here."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct

from procroute.model import Existing, WhenDown
from procroute.written.options import (
    Dns,
    Gateway4,
    Gateway6,
    Hold,
    Inbound,
    Maybe,
    OnDownWord,
    Strict,
    Word,
    Words,
)


class WrittenConditions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a process must be. Several conditions: all must hold. A list: one of it is enough."""

    exe: Annotated[
        Words | Maybe,
        Meta(
            description="The path of the program or script, from /. Globs: * ? [...] within a folder, "
            "** for any folders."
        ),
    ] = UNSET
    name: Annotated[Words | Maybe, Meta(description="The process's name, as ps -o comm shows it. Globs.")] = (
        UNSET
    )
    command: Annotated[
        Words | Maybe,
        Meta(description="The command line, its words with one space between. Globs: * matches anything."),
    ] = UNSET
    user: Annotated[
        Words | Maybe, Meta(description="The user (effective uid), by name or number. No globs.")
    ] = UNSET
    group: Annotated[
        Words | Maybe,
        Meta(description="A group of the process, supplementary ones too, by name or number. No globs."),
    ] = UNSET
    cgroup: Annotated[
        Words | Maybe,
        Meta(description="A cgroup, as /proc/PID/cgroup shows it, and what lies below it. Globs as of exe."),
    ] = UNSET
    unit: Annotated[
        Words | Maybe,
        Meta(description="A systemd unit, and what lies in it. Globs. Without an ending, .service is meant."),
    ] = UNSET
    app: Annotated[
        Words | Maybe,
        Meta(description="A desktop application, Flatpak or snap by its id (org.mozilla.firefox). Globs."),
    ] = UNSET
    parent: Annotated[
        Words | Maybe,
        Meta(
            description="A process that it descends from, directly or through others: its name, or its path "
            "if it has a /. Globs."
        ),
    ] = UNSET


class WrittenRule(
    WrittenConditions, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"unless": "not"}
):
    """One rule: who, and which way. The first that matches holds."""

    unless: Annotated[
        WrittenConditions | Maybe,
        Meta(description="The rule does not match where all of these hold."),
    ] = UNSET
    via: Annotated[
        Word | Maybe,
        Meta(description="The way: a [route.NAME] of config.toml, or an adapter."),
    ] = UNSET
    strict: Strict = UNSET
    gateway4: Gateway4 = UNSET
    gateway6: Gateway6 = UNSET
    dns: Dns = UNSET
    on_down: OnDownWord = UNSET
    hold: Hold = UNSET
    inbound: Inbound = UNSET
    direct: Annotated[
        bool | Maybe,
        Meta(description="true: the machine's own way, an exception from later rules. Instead of via."),
    ] = UNSET
    existing: Annotated[
        Existing | Maybe,
        Meta(
            description="Connections that are open when the rule takes a process, or by an adapter that its "
            "route leaves: they go on, or are ended. Default: keep."
        ),
    ] = UNSET
    when_down: Annotated[
        WhenDown | Maybe,
        Meta(
            description="While procrouted does not answer: deny the program's start, or allow it by the "
            "machine's own way. Default: deny on a strict route, else allow."
        ),
    ] = UNSET
    comment: Annotated[str, Meta(max_length=4096, description="For people.")] = ""
    enabled: Annotated[bool, Meta(description="false: the rule is kept, and not used.")] = True


class WrittenFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Rules of procroute: https://json-schema.org for editors; the words are in docs/rules.md."""

    rule: Annotated[
        list[WrittenRule], Meta(description="Rules, in order: the first that matches holds.")
    ] = []
