"""How patient labs and tests are: all their time limits are multiplied by FACTOR.

1 unless PROCROUTE_LAB_PATIENCE says otherwise, as it does on machines that are emulated (tests/vm/run.sh).
"""

from __future__ import annotations

import os
from typing import Final

FACTOR: Final = float(os.environ.get("PROCROUTE_LAB_PATIENCE", "1"))
