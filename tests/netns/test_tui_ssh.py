"""The terminal application over ssh, as people use it on servers."""

from __future__ import annotations

import pytest

from procroute.lab import Lab
from tests.netns import ssh
from tests.netns.daemons import daemon
from tests.netns.running import ENVIRONMENT, PROCROUTE, ROOT, unchanged, until
from tests.netns.tmux import Tmux


@pytest.mark.promise("VIEW-16")
@pytest.mark.parametrize("kind", ["xterm-256color", "linux"])
def test_over_ssh_it_draws_hears_keys_and_follows_the_size(kind: str) -> None:
    with Lab() as lab, ssh.served(lab) as words, unchanged(lab), daemon(lab), Tmux(lab, 80, 24) as tmux:
        env = ENVIRONMENT | {"XDG_CONFIG_HOME": tmux.HOME}
        there = f"cd {ROOT} && {ssh.command(*PROCROUTE, 'tui', **env)}"
        tui = tmux.window("env", f"TERM={kind}", *words, there)
        tmux.see(tui, "processes on a route", "wan1", "Assign", "SOCKETS")
        assert "ADAPTER" not in tmux.screen(tui)
        assert "dropbear" in tmux.screen(tui)
        tmux.resize(tui, 120, 30)
        tmux.see(tui, "ADAPTER", "DROPS")
        tmux.type(tui, "t", "/", "dropbear", "Enter")
        tmux.see(tui, "· tree ·", "filter “dropbear”")
        tmux.resize(tui, 60, 20)
        until(lambda: "SOCKETS" not in tmux.screen(tui) and "Assign" in tmux.last(tui), 20)
        tmux.type(tui, "Escape")  # with a letter right behind it, it would be Alt and that
        tmux.see(tui, "python")
        tmux.type(tui, "a")
        tmux.see(tui, "(pid", "is to leave by", "wan2")
        tmux.type(tui, "Enter")
        tmux.see(tui, "is on wan1")
        tmux.type(tui, "u", "q")
        tmux.see(tui, "ended with 0")
