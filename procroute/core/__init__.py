"""Pure decisions: what should be, what is missing. No I/O, no clock."""
