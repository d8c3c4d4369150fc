"""The JSON schema of rule files, for editors: rules/procroute-rules.schema.json, which a test compares.

python -m procroute.rulebook.schema > rules/procroute-rules.schema.json
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import msgspec

from procroute.rulebook.shape import WrittenFile

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema of a file, as plain values."""
    return {"$schema": _DIALECT, "title": "procroute rules", **msgspec.json.schema(WrittenFile)}


def text() -> str:
    """The schema as it is kept, with a line end."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
