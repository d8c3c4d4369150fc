"""procroute gives a Linux process its own way out."""

from __future__ import annotations

__version__ = "0.1.0"
