"""Units and desktop applications, by the cgroups that systemd, Flatpak and snapd give them."""

from __future__ import annotations

import pytest

from procroute.rulebook.applications import applications, unescape, units, units_of

UNIT = "/system.slice/system-backup.slice/backup@home.service"
APP = "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-org.mozilla.firefox-4711.scope"
_UUID = "0f6c1b2e-8d1c-4b93-9d2a-1f0e3c5d7a99"


@pytest.mark.promise("RULE-09")
@pytest.mark.parametrize(
    ("unit", "ids"),
    [
        ("app-gnome-org.gnome.Evince@12345.service", ("org.gnome.Evince",)),
        ("app-flatpak-org.telegram.desktop@12345.service", ("org.telegram.desktop",)),
        ("app-KDE-org.kde.okular@12345.service", ("org.kde.okular",)),
        ("app-org.kde.amarok.service", ("org.kde.amarok",)),
        ("app-org.gnome.Evince-12345.scope", ("org.gnome.Evince",)),
        ("app-gnome-org.mozilla.firefox-4711.scope", ("org.mozilla.firefox",)),
        ("app-flatpak-org.mozilla.firefox-3051.scope", ("org.mozilla.firefox",)),
        (r"app-gnome-google\x2dchrome-99.scope", ("google-chrome",)),
        (r"app-com.x.caf\xc3\xa9-1.scope", ("com.x.café",)),
        ("app-nm\\x2dapplet@autostart.service", ("nm-applet",)),
        ("dbus-:1.2-org.gnome.Nautilus@0.service", ("org.gnome.Nautilus",)),
        (r"dbus-:1.14-com.x.A\x2db@12.service", ("com.x.A-b",)),
        (f"snap.firefox.firefox-{_UUID}.scope", ("firefox_firefox", "firefox")),
        (f"snap.firefox.firefox.{_UUID}.scope", ("firefox_firefox", "firefox")),
        (f"snap.code-insiders.url-handler-{_UUID}.scope", ("code-insiders_url-handler", "code-insiders")),
        ("snap.lxd.daemon.service", ("lxd_daemon", "lxd")),
        ("app.slice", ()),
        ("dbus.service", ()),
        ("dbus-org.x.A@0.service", ()),
        ("run-4711.scope", ()),
        ("session-2.scope", ()),
        ("app-only.scope", ()),
        ("application-x-1.scope", ()),
        ("snapd.service", ()),
    ],
)
def test_applications_are_known_by_their_cgroups(unit: str, ids: tuple[str, ...]) -> None:
    inside = f"/user.slice/user-1000.slice/user@1000.service/app.slice/{unit}"
    assert applications(inside) == ids
    assert applications(f"{inside}/child") == ids


def test_units_of_a_cgroup() -> None:
    assert units("/") == ()
    assert units(UNIT) == ("backup@home.service", "system-backup.slice", "system.slice")
    assert units("/system.slice/_cgroup.service/x") == ("cgroup.service", "system.slice")
    assert units_of(UNIT, 1000) == ()
    assert units_of(APP, 1000) == ("app-gnome-org.mozilla.firefox-4711.scope", "app.slice")
    assert unescape(r"a\x2db\x5cx") == r"a-b\x"
