"""Commands that are known to have others do the work."""

from __future__ import annotations

import pytest

from procroute.core.front_ends import Advice, advice

SLICE = "procroute-wan1.slice"


@pytest.mark.promise("ESC-04")
@pytest.mark.parametrize(
    "command",
    [
        "snap run firefox",
        "/usr/bin/snap run --shell firefox.geckodriver",
        "/snap/bin/firefox https://example.org",
        "systemd-run curl https://example.org",
        "systemd-run --user --scope curl",
        "env A=1 nice -n 5 systemd-run true",
        "sudo -n systemd-run true",
        "timeout -k 1 5 docker run debian",
        "sudo -u ada env A=1 timeout 5 podman --remote run debian",
        "run0 id",
        "machinectl shell ada@ /bin/sh",
        "docker run --rm -it debian",
        "docker compose up",
        "podman --remote run debian",
    ],
)
def test_what_would_not_be_routed_is_refused_with_what_works(command: str) -> None:
    found = advice(command.split(), SLICE)
    assert found.refuse
    assert found.text
    assert found.hint


@pytest.mark.promise("ESC-04")
def test_the_command_that_works_names_the_slice() -> None:
    assert f"systemd-run --scope --slice={SLICE} CMD" in advice(["systemd-run", "--scope", "x"], SLICE).hint
    found = advice(["systemd-run", "--user", "--scope", "x"], r"procroute-wg\x2dhome.slice")
    assert r"systemd-run --user --scope --slice='procroute-wg\x2dhome.slice' CMD" in found.hint
    snap = advice(["snap", "run", "foo.bar"], SLICE)
    assert f"--slice={SLICE} --unit=snap.foo.bar-procroute.scope snap run foo.bar" in snap.hint
    assert "--unit=snap.firefox.firefox-procroute.scope" in advice(["/snap/bin/firefox"], SLICE).hint


@pytest.mark.promise("ESC-04")
@pytest.mark.parametrize(
    "command",
    [
        "su ada -c id",
        "/usr/bin/su -",
        "login -f ada",
        "pkexec id",
        "runuser -l ada",
        "runuser - ada",
        "sudo -i",
        "sudo -iu ada",
        "sudo -u ada --login id",
    ],
)
def test_what_opens_a_login_session_is_said(command: str) -> None:
    found = advice(command.split(), SLICE)
    assert "login session" in found.text
    assert "procroute run --user NAME" in found.hint
    assert not found.refuse


@pytest.mark.promise("ESC-04")
@pytest.mark.parametrize(
    "command",
    [
        "sudo id",
        "sudo -u ada grep -i x",
        "sudo -u intern id",
        "runuser -u ada -- ls -l",
        "runuser --user ada ls -l",
        "sudo --user=ilse id",
    ],
)
def test_what_opens_none_is_not(command: str) -> None:
    assert advice(command.split(), SLICE) == Advice()


@pytest.mark.promise("ESC-04")
@pytest.mark.parametrize(
    "command", ["podman run debian", "gtk-launch firefox", "xdg-open x", "systemctl restart x", "gio open x"]
)
def test_what_is_routed_in_part_is_said(command: str) -> None:
    found = advice(command.split(), SLICE)
    assert found.text
    assert not found.refuse


@pytest.mark.promise("ESC-05")
@pytest.mark.parametrize(
    "command",
    [
        "flatpak run org.mozilla.firefox",
        "env MOZ=1 /usr/bin/flatpak --user run x",
        "/var/lib/flatpak/exports/bin/org.mozilla.firefox",
    ],
)
def test_flatpak_is_kept_where_it_is(command: str) -> None:
    assert advice(command.split(), SLICE) == Advice(stay=True)


@pytest.mark.promise("ESC-04")
@pytest.mark.parametrize(
    "command",
    [
        "curl https://example.org",
        "sh -c snap",
        "snap list",
        "flatpak update",
        "docker ps",
        "podman images",
        "podman run --cgroups=disabled x",
        "systemctl status",
        "machinectl list",
        "gio list",
        "env",
        "env A=1",
        "nice -n",
        "echo docker run",
    ],
)
def test_others_are_left_alone(command: str) -> None:
    assert advice(command.split(), SLICE) == Advice()
