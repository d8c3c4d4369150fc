"""What people should hear of a file that they wrote."""

from __future__ import annotations

from msgspec import Struct


class Finding(Struct, frozen=True, order=True):
    """Something about a file that people should hear. error: it cannot be used so. line 0: the whole file."""

    file: str
    line: int
    error: bool
    message: str
    hint: str = ""

    @property
    def place(self) -> str:
        """As people are told: FILE:LINE, or FILE."""
        return f"{self.file}:{self.line}" if self.line else self.file
