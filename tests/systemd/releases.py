"""A procroute that is installed on a box, as pip does, beside the checkout's."""

from __future__ import annotations

from typing import Final

from tests.lab.systemd_box import SystemdBox
from tests.netns.running import ROOT

_SCRIPT: Final = "import sys\nfrom procroute.__main__ import main\nsys.exit(main())\n"


def lay(box: SystemdBox, at: str) -> str:
    """Its program, in a venv that has the rest from the system; one that is there gets new files."""
    box.sh(f"test -d {at} || python3 -m venv --system-site-packages --without-pip {at}")
    where = box.run(
        [f"{at}/bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], cwd="/"
    )
    code = where.stdout.strip()
    box.sh(
        f"rm -rf {code}/procroute {at}/share; mkdir -p {at}/share/procroute"
        f" && cp -r {ROOT}/procroute {code} && cp -r {ROOT}/systemd {at}/share/procroute"
        f" && chmod -R go-w {at}"
    )
    program = f"{at}/bin/procroute"
    box.path(program).write_text(f"#!{at}/bin/python\n{_SCRIPT}")
    box.path(program).chmod(0o755)
    return program
