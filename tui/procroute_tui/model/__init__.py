"""PURE: what the daemon has said, and what of it is shown in which order. No Textual, no I/O, no clock."""
